"""From OTLP requests to samples.

The rules are those of the `Decoder`, which sees each series once and whatever is out of the ordinary; what it
made of a series is the template for the measurements that follow, without an object of the SDK in between.
"""

from collections.abc import Callable, Iterator
from functools import partial
from hashlib import blake2b
from itertools import repeat
from typing import Any, NamedTuple

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import Metric, MetricsData, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from ..attributes import SETTLED_STEP
from ..ledger import Ledger
from ..records import Sample
from ..sources import Process, Source, process_of
from .decoder import Decoder
from .otlp_points import (
    NO_RECORDED_VALUE,
    attributes_of,
    exemplar_of,
    metric_of,
    point_of,
    why_unusable,
)
from .otlp_wire import TAGS, Columns, after, columns, start_of

_MOST_ORIGINS = 10_000
_MAKE = partial(tuple.__new__, Sample)
"""A sample out of its fields, without the call of a Python function."""


class Received(NamedTuple):
    """The samples of one resource in one request."""

    process: Process
    """Which process sent them."""
    resource: bytes
    """What stands for its resource."""
    samples: list[Sample]
    """In the order of their measurement."""
    collected_at: float
    """When the collection began that the sender made: seconds since the epoch."""


class Origin:
    """One process that sends: its resource, and what has been learned of its series."""

    def __init__(self, key: bytes, resource: dict[str, Any], decoder: Decoder) -> None:
        self.key = key
        self.process = process_of(resource)
        self.resource = Resource(resource)
        self.decoder = decoder
        self.series: dict[Any, dict[Any, Sample]] = {}
        self.sources: dict[str, Source] = {}


class OtlpDecoder:
    """Turns OTLP requests into samples.

    Args:
        new_decoder: Makes the rules for one process that sends: what is cumulative is so within a process.
        ledger: Where samples are counted.
        is_new: Told what stands for the resource, the time of a data point, and all else of it as bytes;
            False where the same data point has been taken in before.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(
        self,
        new_decoder: Callable[[], Decoder],
        ledger: Ledger,
        is_new: Callable[[bytes, int, bytes], bool] = lambda *_: True,
    ) -> None:
        self._new_decoder = new_decoder
        self._ledger = ledger
        self._is_new = is_new
        self._origins: dict[bytes, Origin] = {}

    def decode(self, request: Any) -> Iterator[Received]:
        """The samples in an `ExportMetricsServiceRequest`, resource by resource.

        What cannot be decoded is rejected and counted, never raised.
        """
        for resource_metrics in request.resource_metrics:
            origin = self._origin_of(resource_metrics.resource)
            samples: list[Sample] = []
            rest: list[ScopeMetrics] = []
            latest = 0
            for scope_metrics in resource_metrics.scope_metrics:
                scope = scope_metrics.scope
                scope_bytes = scope.SerializeToString()
                metrics: list[Metric] = []
                for metric in scope_metrics.metrics:
                    kind = metric.WhichOneof("data")
                    if kind is None:
                        continue
                    if (reason := why_unusable(metric, kind)) is not None:
                        self._reject(metric, kind, reason)
                        continue
                    points = []
                    identity = scope_bytes + metric.name.encode() + kind.encode()
                    for point in getattr(metric, kind).data_points:
                        time = point.time_unix_nano
                        if time > latest:
                            latest = time
                        wire = point.SerializeToString()
                        if not self._is_new(origin.key, time, identity + wire):
                            continue
                        if point.flags & NO_RECORDED_VALUE:
                            continue
                        left = self._take(origin, scope, metric, kind, point, wire, samples)
                        if left is not None:
                            points.append(left)
                    if points:
                        metrics.append(metric_of(metric, kind, points))
                if metrics:
                    rest.append(ScopeMetrics(_scope_of(scope), metrics, scope_metrics.schema_url))
            if rest:
                samples += self._by_the_rules(origin, rest)
            samples.sort(key=_measured_at)
            yield Received(origin.process, origin.key, samples, latest / 1e9)

    def _reject(self, metric: Any, kind: str, reason: str) -> None:
        count = len(getattr(metric, kind).data_points)
        self._ledger.recorded += count
        self._ledger.reject("unusable", f"metric {metric.name[:200]!r}", reason, count=count)

    def _take(
        self,
        origin: Origin,
        scope: Any,
        metric: Any,
        kind: str,
        point: Any,
        wire: bytes,
        samples: list[Sample],
    ) -> Any:
        """Take the measurements that are like others before. Returns a data point with all else."""
        exemplars = point.exemplars
        if not exemplars:
            return point_of(point, kind, attributes_of(point.attributes), ())
        attributes = [(each.key, each.value.SerializeToString()) for each in point.attributes]
        identity = (scope.name, metric.name, kind, *attributes)
        templates = origin.series.get(identity)
        if templates is None:
            templates = origin.series[identity] = {}
        left: list[Exemplar] = []
        is_ours = False
        taken = index = 0
        tag = TAGS[kind]
        at = start_of(wire, tag)
        while index < len(exemplars):
            plain = templates.get(())
            if plain is not None and at is not None:
                found, at = columns(wire, tag, at)
                for run in found:
                    samples += _samples_like(plain, run)
                    index += len(run.steps)
                    taken += len(run.steps)
                    is_ours = True
                if found:
                    continue
            if at is not None:
                at = after(wire, at)
            exemplar = exemplars[index]
            index += 1
            step: int | None = None
            further: Any = ()
            is_settled = False
            for attribute in exemplar.filtered_attributes:
                if attribute.key != SETTLED_STEP:
                    further += (attribute.key, attribute.value.SerializeToString())
                    continue
                is_ours = is_settled = True
                if attribute.value.HasField("int_value"):
                    step = attribute.value.int_value
            template = templates.get(further)
            if template is None or step is None or step < 0:
                learned = exemplar_of(exemplar)
                if step is not None and step >= 0:
                    alone = metric_of(
                        metric, kind, [point_of(point, kind, attributes_of(point.attributes), (learned,))]
                    )
                    scopes = [ScopeMetrics(_scope_of(scope), [alone], "")]
                    made = self._by_the_rules(origin, scopes)
                    samples += made
                    if len(made) == 1:
                        templates[further] = made[0]
                elif is_settled:
                    left.append(learned)
                continue
            time = exemplar.time_unix_nano / 1e9
            value = exemplar.as_double if exemplar.HasField("as_double") else exemplar.as_int
            samples.append(
                Sample(template.source, step, template.key, value, template.priority, time, template.kind)
            )
            taken += 1
        self._ledger.recorded += taken
        if is_ours and not left:
            return None
        return point_of(point, kind, attributes_of(point.attributes), left if is_ours else ())

    def _by_the_rules(self, origin: Origin, scopes: list[ScopeMetrics]) -> list[Sample]:
        data = MetricsData([ResourceMetrics(origin.resource, scopes, "")])
        samples = []
        for sample in origin.decoder.decode(data).samples:
            source = origin.sources.get(sample.source)
            if source is None:
                source = origin.sources[sample.source] = origin.process.source(sample.source)
            samples.append(sample._replace(source=source))
        return samples

    def _origin_of(self, resource: Any) -> Origin:
        key = blake2b(resource.SerializeToString(), digest_size=16).digest()
        origin = self._origins.get(key)
        if origin is None:
            attributes = attributes_of(resource.attributes)
            while len(self._origins) >= _MOST_ORIGINS:
                self._origins.pop(next(iter(self._origins)))
            origin = Origin(key, attributes, self._new_decoder())
            self._origins[key] = origin
        return origin


def _samples_like(plain: Sample, run: Columns) -> Iterator[Sample]:
    """The samples of measurements that differ in step, value and time alone."""
    times = [time / 1e9 for time in run.times]
    fields = zip(
        repeat(plain.source),
        run.steps,
        repeat(plain.key),
        run.values,
        repeat(plain.priority),
        times,
        repeat(plain.kind),
    )
    return map(_MAKE, fields)


def _scope_of(message: Any) -> InstrumentationScope:
    return InstrumentationScope(message.name, message.version)


def _measured_at(sample: Sample) -> float:
    return sample.time
