"""From what a reader collected to samples."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Metric,
    MetricsData,
    NumberDataPoint,
    Sum,
)

from ..attributes import (
    LANE_SCOPE,
    OBSERVED,
    PRIORITY,
    SELF_SCOPES,
    SETTLED_STEP,
    SHED,
    SOURCE,
    STEP,
    default_priority,
    parse_priority,
    parse_step,
)
from ..ledger import Ledger
from ..records import Kind, Sample
from .naming import Keys, Naming

_OVERFLOW = "otel.metric.overflow"
_MEANINGFUL = frozenset((STEP, SOURCE, PRIORITY, SETTLED_STEP, OBSERVED, SHED, _OVERFLOW))
_SKIPPED_SCOPES = SELF_SCOPES | {LANE_SCOPE}


class Decoded(NamedTuple):
    """The samples of one collection."""

    samples: list[Sample]
    """In the order of their measurement."""
    collected_at: float
    """When the collection began: seconds since the epoch."""


class Decoder:
    """Turns collected metrics into samples.

    Where a data point carries exemplars of a keep-all reservoir, these are its samples and its aggregate is
    ignored: a value is never counted twice. Any other data point is itself the sample, with the step from
    its attributes; exemplars that another reservoir sampled are not mistaken for ours, which all carry
    `wandb.step`.

    The bridge's own metrics and the SDK's self-observation are left out.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, naming: Naming, priorities: Mapping[str, int], ledger: Ledger) -> None:
        self._keys = Keys(naming, ledger)
        self._priorities = dict(priorities)
        self._ledger = ledger

    def decode(self, metrics_data: MetricsData) -> Decoded:
        """The samples in `metrics_data`. What cannot be decoded is rejected and counted, never raised."""
        samples: list[Sample] = []
        collected_at = 0.0
        for resource_metrics in metrics_data.resource_metrics:
            for scope_metrics in resource_metrics.scope_metrics:
                scope = scope_metrics.scope.name
                for metric in scope_metrics.metrics:
                    for point in metric.data.data_points:
                        collected_at = max(collected_at, point.time_unix_nano / 1e9)
                        if scope not in _SKIPPED_SCOPES:
                            samples += self._point(metric, scope, point)
        samples.sort(key=_measured_at)
        return Decoded(samples, collected_at)

    def _point(self, metric: Metric, scope: str, point: Any) -> list[Sample]:
        ours = [
            exemplar
            for exemplar in point.exemplars or ()
            if exemplar.filtered_attributes and SETTLED_STEP in exemplar.filtered_attributes
        ]
        if ours:
            return list(self._of_exemplars(metric, scope, point.attributes or {}, ours))
        try:
            return list(self._of_point(metric, scope, point))
        except Exception as error:
            self._ledger.recorded += 1
            self._reject_undecodable(metric, error)
            return []

    def _of_exemplars(
        self, metric: Metric, scope: str, point: Mapping[str, Any], exemplars: Iterable[Any]
    ) -> Iterator[Sample]:
        kind = _kind(metric)
        series = {key: value for key, value in point.items() if key not in _MEANINGFUL}
        series_key: str | None = None
        series_source = point.get(SOURCE)
        unstepped: dict[str, Sample] = {}
        for exemplar in exemplars:
            measured = exemplar.filtered_attributes
            settled = measured[SETTLED_STEP]
            if settled is True:
                self._note_shed(metric, measured.get(SHED, 0))
                continue
            self._ledger.recorded += 1
            try:
                source = _source(measured.get(SOURCE, series_source), scope)
                if not isinstance(settled, int):
                    text = f"{settled}; source {source!r}"
                    self._ledger.reject("step", f"instrument {metric.name!r}", text)
                    continue
                further = None
                if len(measured) > 1:
                    further = {name: value for name, value in measured.items() if name not in _MEANINGFUL}
                if further:
                    key = self._keys.key(metric.name, {**series, **further})
                else:
                    key = series_key = series_key or self._keys.key(metric.name, series)
                sample = Sample(
                    source,
                    None if settled is False else settled,
                    key,
                    _number(exemplar.value),
                    self._priority(metric, source, measured.get(PRIORITY, point.get(PRIORITY))),
                    exemplar.time_unix_nano / 1e9,
                    Kind.READING if OBSERVED in measured else kind,
                )
            except Exception as error:
                self._reject_undecodable(metric, error)
                continue
            if sample.step is not None or kind is not Kind.VALUE:
                yield sample
                continue
            # Without a step, the measurements of one interval have no place of their own: one stands, as it
            # does for every other reader.
            other = unstepped.get(key)
            if other is not None:
                self._ledger.overridden += 1
                self._ledger.say_once(
                    "no step",
                    f"instrument {metric.name!r}",
                    "of its measurements in one interval, the last stands; to keep each, give it a step: "
                    "training_step(…), set_step(…) or the attribute `step`",
                )
            if other is None or sample.priority <= other.priority:
                unstepped[key] = sample
        yield from unstepped.values()

    def _of_point(self, metric: Metric, scope: str, point: Any) -> Iterator[Sample]:
        attributes = point.attributes or {}
        source = _source(attributes.get(SOURCE), scope)
        values = dict(_values_of_point(point))
        if _OVERFLOW in attributes:
            self._ledger.recorded += len(values)
            self._ledger.reject(
                "overflow",
                f"instrument {metric.name!r}",
                "more attribute sets in one interval than the SDK's cardinality limit; use step_views(), or "
                "fewer attributes",
                count=len(values),
            )
            return
        step: int | None = None
        if STEP in attributes:
            try:
                step = parse_step(attributes[STEP])
            except ValueError as error:
                self._ledger.recorded += len(values)
                self._ledger.reject(
                    "step", f"instrument {metric.name!r}", f"{error}; source {source!r}", count=len(values)
                )
                return
        series = {key: value for key, value in attributes.items() if key not in _MEANINGFUL}
        keyed = [(self._keys.key(metric.name, series, suffix), value) for suffix, value in values.items()]
        priority = self._priority(metric, source, attributes.get(PRIORITY))
        kind = Kind.INCREMENT if _is_delta_sum(metric) else Kind.VALUE
        self._ledger.recorded += len(values)
        for key, value in keyed:
            yield Sample(source, step, key, value, priority, point.time_unix_nano / 1e9, kind)

    def _priority(self, metric: Metric, source: str, given: Any) -> int:
        if given is None:
            return default_priority(source, self._priorities)
        if type(given) is int and 0 <= given <= 10:
            return given
        try:
            return parse_priority(given)
        except ValueError as error:
            text = f"{error}; the default is used"
            self._ledger.say_once("priority", f"instrument {metric.name!r}", text)
            return default_priority(source, self._priorities)

    def _reject_undecodable(self, metric: Metric, error: Exception) -> None:
        self._ledger.reject("undecodable", f"instrument {metric.name!r}", repr(error))

    def _note_shed(self, metric: Metric, count: int) -> None:
        if count:
            self._ledger.recorded += count
            self._ledger.shed += count
            self._ledger.say_once(
                "shed",
                f"instrument {metric.name!r}",
                "it is recorded faster than it is collected; the newest measurements are lost",
            )


def _measured_at(sample: Sample) -> float:
    return sample.time


def _source(said: Any, scope: str) -> str:
    return scope if said is None or said == "" else str(said)


def _number(value: Any) -> float:
    if isinstance(value, (float, int)):
        return value
    raise TypeError(f"a number is expected; got {value!r}")


def _kind(metric: Metric) -> Kind:
    if isinstance(metric.data, Gauge):
        return Kind.VALUE
    return Kind.INCREMENT if isinstance(metric.data, Sum) else Kind.OBSERVATION


def _is_delta_sum(metric: Metric) -> bool:
    return (
        isinstance(metric.data, Sum) and metric.data.aggregation_temporality is AggregationTemporality.DELTA
    )


def _values_of_point(point: Any) -> Iterator[tuple[str, float]]:
    if isinstance(point, NumberDataPoint):
        yield "", point.value
        return
    yield "/count", point.count
    if point.count:
        yield "/mean", point.sum / point.count
        if point.min is not None and point.min <= point.max:  # they are infinite where none are recorded
            yield from (("/min", point.min), ("/max", point.max))
