"""Calls of `Bridge.log` on a worker, as metrics: each value an exemplar with its own step."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from ..attributes import PRIORITY, SENT_SCOPE, SETTLED_STEP, SOURCE
from ..record import DirectLane
from ..records import DEFAULT_PRIORITY, Bundle, Sample

_LARGEST = 2**63 - 1


class ScalarLane(DirectLane):
    """A direct lane for what OTLP metrics have room for: numbers."""

    def log(self, values: Mapping[str, Any], step: Any, source: str | None, priority: Any) -> None:
        """Take the numbers among `values`.

        Raises:
            TypeError: some are no numbers; all others are taken.
        """
        try:
            numbers = {key: number for key, value in values.items() if (number := _number(value)) is not None}
        except Exception:  # no mapping: what the lane itself says of it
            super().log(values, step, source, priority)
            return
        if numbers:
            super().log(numbers, step, source, priority)
        others = [key for key in values if key not in numbers]
        if others:
            key = others[0]
            raise TypeError(
                f"Bridge.log on a worker takes numbers, for media and text have no place in OTLP metrics; "
                f"got {type(values[key]).__name__} under {key!r}. Log it in the process that owns the run "
                "(configure(run)), or log a number that is computed from it"
            )


def resource_metrics_of(
    items: Iterable[Sample | Bundle], resource: Resource, moment: int | None = None
) -> ResourceMetrics | None:
    """The samples of calls as one gauge for each key and source; None of none.

    Args:
        items: The samples.
        resource: Of this process.
        moment: Up to when all samples are there (nanoseconds); by default that of the last one.
    """
    series: dict[tuple[str, str], list[Exemplar]] = {}
    for item in items:
        for sample in item if type(item) is Bundle else (item,):
            settled: dict[str, Any] = {SETTLED_STEP: False if sample.step is None else sample.step}
            if sample.priority != DEFAULT_PRIORITY:
                settled[PRIORITY] = sample.priority
            exemplar = Exemplar(settled, sample.value, int(sample.time * 1e9))
            series.setdefault((sample.key, str(sample.source)), []).append(exemplar)
    if not series:
        return None
    if moment is None:
        moment = max(exemplars[-1].time_unix_nano for exemplars in series.values())
    metrics = [_metric(key, source, exemplars, moment) for (key, source), exemplars in series.items()]
    return ResourceMetrics(resource, [ScopeMetrics(InstrumentationScope(SENT_SCOPE), metrics, "")], "")


def _metric(key: str, source: str, exemplars: list[Exemplar], moment: int) -> Metric:
    point = NumberDataPoint(
        attributes={SOURCE: source},
        start_time_unix_nano=0,
        time_unix_nano=moment,
        value=exemplars[-1].value,
        exemplars=exemplars,
    )
    return Metric(key, None, None, Gauge([point]))


def _number(value: Any) -> float | None:
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        return int(value) if abs(value) <= _LARGEST else _float(value)
    try:
        # What NumPy and PyTorch scalars have in common; text, media and containers have none of it.
        if math.prod(getattr(value, "shape", (2,))) != 1:
            return None
        number = value.item()
    except Exception:
        return None
    return _number(number) if isinstance(number, (float, int)) else None


def _float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
