"""Which trace a step belongs to: from the exemplars' trace ids to one sample a step."""

from bisect import insort
from collections import OrderedDict
from collections.abc import Iterator

from opentelemetry.sdk.metrics.export import MetricsData

from ..attributes import SELF_SCOPES, SETTLED_STEP, SOURCE
from ..ledger import Ledger
from ..records import DEFAULT_PRIORITY, Sample
from .decoder import Decoded

KEY = "trace_id"
_REMEMBERED = 1_000


class TraceIds:
    """Adds to the samples of a collection the id of the sampled span in which each step was measured.

    An id is 32 hexadecimal digits, as W3C Trace Context and the trace viewers write it. Of several traces in
    one step, the one measured last stands.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self) -> None:
        self._last: OrderedDict[int, int] = OrderedDict()

    def added_to(self, decoded: Decoded, metrics_data: MetricsData, ledger: Ledger) -> Decoded:
        """The samples, and one more for each step whose trace is new."""
        latest: dict[int, tuple[float, int, str]] = {}
        for step, time, trace_id, source in _measured(metrics_data):
            if step not in latest or time >= latest[step][0]:
                latest[step] = (time, trace_id, source)
        for step, (time, trace_id, source) in latest.items():
            if self._last.get(step) == trace_id:
                continue
            self._last[step] = trace_id
            if len(self._last) > _REMEMBERED:
                self._last.popitem(last=False)
            ledger.recorded += 1
            sample = Sample(source, step, KEY, f"{trace_id:032x}", DEFAULT_PRIORITY, time)
            insort(decoded.samples, sample, key=lambda each: each.time)
        return decoded


def _measured(metrics_data: MetricsData) -> Iterator[tuple[int, float, int, str]]:
    for resource_metrics in metrics_data.resource_metrics:
        for scope_metrics in resource_metrics.scope_metrics:
            scope = scope_metrics.scope.name
            if scope in SELF_SCOPES:
                continue
            for metric in scope_metrics.metrics:
                for point in metric.data.data_points:
                    for exemplar in point.exemplars or ():
                        measured = exemplar.filtered_attributes or {}
                        step = measured.get(SETTLED_STEP)
                        if exemplar.trace_id and type(step) is int:
                            source = measured.get(SOURCE, (point.attributes or {}).get(SOURCE, scope))
                            time = exemplar.time_unix_nano / 1e9
                            yield step, time, exemplar.trace_id, str(source or scope)
