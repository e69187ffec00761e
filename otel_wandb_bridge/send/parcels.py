"""Collections cut into parcels that every receiver, queue and server takes.

A data point that is larger than the byte limit of a Collector's queue is lost there, and a request that is
larger than a gRPC server's limit (4 MiB by default) is refused.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    Sum,
)

from ..attributes import SELF_SCOPES, SETTLED_STEP, SHED

POINT_BYTES = 1_000_000
"""What one data point has at most: a little below 1 MiB."""
PARCEL_BYTES = 3_000_000
"""What one request has at most."""

_POINT_OVERHEAD = 256
_EXEMPLAR_OVERHEAD = 40
_ATTRIBUTE_OVERHEAD = 12


class Parcel(NamedTuple):
    """What goes into one request."""

    data: MetricsData
    samples: int
    """How many samples it carries."""


def parcels_of(
    data: MetricsData, *, point_bytes: int = POINT_BYTES, parcel_bytes: int = PARCEL_BYTES
) -> Iterator[Parcel]:
    """Cut a collection into parcels, with every measurement in exactly one of them.

    It is cut at moments, for all of its series alike, as if it had been collected several times within the
    interval: so each parcel is complete up to its own moment, and no row is closed before all of it is there.
    The aggregates go with the last parcel. Those before it add nothing to a sum or a histogram, and show of a
    gauge the value at their moment.
    """
    series = [
        _Series(resource_metrics, scope_metrics, metric, point)
        for resource_metrics in data.resource_metrics
        for scope_metrics in resource_metrics.scope_metrics
        for metric in scope_metrics.metrics
        for point in metric.data.data_points
    ]
    for moment, counts in _cuts(series, point_bytes, parcel_bytes):
        held = [(each, each.take(count, moment)) for each, count in zip(series, counts, strict=True) if count]
        yield Parcel(_put_together(held), _samples_of(held))
    held = []
    size = 0
    for each in series:
        point = each.rest()
        own = _point_size(each.metric, point, point.exemplars or ())
        if held and size + own > parcel_bytes:
            yield Parcel(_put_together(held), _samples_of(held))
            held, size = [], 0
        held.append((each, point))
        size += own
    if held:
        yield Parcel(_put_together(held), _samples_of(held))


class _Series:
    """A data point of a collection, from which the earliest measurements are taken out."""

    def __init__(self, resource_metrics: Any, scope_metrics: Any, metric: Metric, point: Any) -> None:
        self.resource_metrics = resource_metrics
        self.scope_metrics = scope_metrics
        self.metric = metric
        self.point = point
        self._start = point.start_time_unix_nano or 0
        exemplars = list(point.exemplars or ())
        self.measured = sorted(filter(_is_measured, exemplars), key=_measured_at)
        self._notes = [exemplar for exemplar in exemplars if not _is_measured(exemplar)]
        self._is_whole = True

    def take(self, count: int, moment: int) -> Any:
        """Take out the first measurements, as a data point of that moment."""
        taken, self.measured = self.measured[:count], self.measured[count:]
        start, self._start = self._start, moment
        self._is_whole = False
        return _without_aggregate(self.metric, self.point, taken, start, moment)

    def rest(self) -> Any:
        """What is left of the data point, with its aggregate."""
        if self._is_whole:
            return self.point
        changes: dict[str, Any] = {"exemplars": [*self.measured, *self._notes]}
        if _has_interval(self.point):
            changes["start_time_unix_nano"] = self._start
        return replace(self.point, **changes, time_unix_nano=max(self.point.time_unix_nano, self._start + 1))


def _cuts(series: list[_Series], point_bytes: int, parcel_bytes: int) -> Iterator[tuple[int, list[int]]]:
    """At which moments to cut, and how many measurements of each series come before; the rest stays."""
    sizes = [[_exemplar_size(exemplar) for exemplar in each.measured] for each in series]
    bound = point_bytes - _POINT_OVERHEAD
    if sum(map(sum, sizes)) <= parcel_bytes and all(sum(each) <= bound for each in sizes):
        return
    measured = sorted(
        (exemplar.time_unix_nano, index, size)
        for index, each in enumerate(series)
        for exemplar, size in zip(each.measured, sizes[index], strict=True)
    )
    counts, points, parcel, moment = [0] * len(series), [0] * len(series), 0, 0
    last = 0
    for time, index, size in measured:
        own = size if counts[index] else size + _point_size(series[index].metric, series[index].point, ())
        if any(counts) and (parcel + own > parcel_bytes or points[index] + own > point_bytes):
            # No two parcels have the same moment, whatever the clock's resolution.
            moment = max(last, moment + 1)
            yield moment, counts
            counts, points, parcel = [0] * len(series), [0] * len(series), 0
            own = size + _point_size(series[index].metric, series[index].point, ())
        counts[index] += 1
        points[index] += own
        parcel += own
        last = time


def samples_in(exemplars: Sequence[Exemplar] | None) -> int:
    """How many samples the exemplars of a keep-all reservoir are."""
    settled = ((exemplar.filtered_attributes or {}).get(SETTLED_STEP) for exemplar in exemplars or ())
    return sum(1 for step in settled if step is not None and step is not True)


def shed_in(exemplars: Sequence[Exemplar] | None) -> int:
    """How many measurements a full reservoir did not keep."""
    counts: Any = ((exemplar.filtered_attributes or {}).get(SHED, 0) for exemplar in exemplars or ())
    return sum(counts)


def points_of(data: MetricsData) -> Iterator[Any]:
    """All data points of a collection, but those in which telemetry tells of itself."""
    for resource_metrics in data.resource_metrics:
        for scope_metrics in filter(_counts, resource_metrics.scope_metrics):
            for metric in scope_metrics.metrics:
                yield from metric.data.data_points


def collected_at(data: MetricsData) -> int:
    """When a collection began: nanoseconds since the epoch; 0 where it is empty."""
    return max(
        (
            point.time_unix_nano
            for resource_metrics in data.resource_metrics
            for scope_metrics in resource_metrics.scope_metrics
            for metric in scope_metrics.metrics
            for point in metric.data.data_points
        ),
        default=0,
    )


def _without_aggregate(
    metric: Metric, point: Any, exemplars: Sequence[Exemplar], start: int, end: int
) -> Any:
    changes: dict[str, Any] = {"exemplars": exemplars, "time_unix_nano": end}
    if _has_interval(point):
        changes["start_time_unix_nano"] = start
    if isinstance(point, NumberDataPoint):
        changes["value"] = 0 if isinstance(metric.data, Sum) else exemplars[-1].value
    elif isinstance(point, HistogramDataPoint):
        counts = [0] * len(point.bucket_counts)
        changes |= {"count": 0, "sum": 0, "bucket_counts": counts, "min": 0, "max": 0}
    elif isinstance(point, ExponentialHistogramDataPoint):
        empty = {
            side: replace(getattr(point, side), bucket_counts=[0] * len(getattr(point, side).bucket_counts))
            for side in ("positive", "negative")
        }
        changes |= {"count": 0, "sum": 0, "zero_count": 0, "min": 0, "max": 0, **empty}
    return replace(point, **changes)


def _has_interval(point: Any) -> bool:
    return bool(point.start_time_unix_nano)


def _samples_of(held: Iterable[tuple[_Series, Any]]) -> int:
    return sum(samples_in(point.exemplars) for each, point in held if _counts(each.scope_metrics))


def _counts(scope_metrics: Any) -> bool:
    """Whether its points are samples: what telemetry says of itself is sent along, and is none."""
    return scope_metrics.scope.name not in SELF_SCOPES


def _put_together(held: Iterable[tuple[_Series, Any]]) -> MetricsData:
    """One collection of data points, each with what it came from."""
    resources: dict[int, tuple[Any, dict[int, tuple[Any, dict[int, tuple[Metric, list[Any]]]]]]] = {}
    for each, point in held:
        _, scopes = resources.setdefault(id(each.resource_metrics), (each.resource_metrics, {}))
        _, metrics = scopes.setdefault(id(each.scope_metrics), (each.scope_metrics, {}))
        metrics.setdefault(id(each.metric), (each.metric, []))[1].append(point)
    return MetricsData(
        [
            replace(
                resource_metrics,
                scope_metrics=[
                    replace(
                        scope_metrics,
                        metrics=[
                            replace(metric, data=_with_points(metric.data, points))
                            for metric, points in metrics.values()
                        ],
                    )
                    for scope_metrics, metrics in scopes.values()
                ],
            )
            for resource_metrics, scopes in resources.values()
        ]
    )


def _with_points(data: Any, points: list[Any]) -> Any:
    return replace(data, data_points=points)


def _is_measured(exemplar: Exemplar) -> bool:
    """Whether it is a measurement, and not what a reservoir says of itself."""
    return (exemplar.filtered_attributes or {}).get(SETTLED_STEP) is not True


def _measured_at(exemplar: Exemplar) -> int:
    return exemplar.time_unix_nano


def _point_size(metric: Metric, point: Any, exemplars: Sequence[Exemplar]) -> int:
    own = (
        _POINT_OVERHEAD
        + len(metric.name)
        + len(metric.description or "")
        + _attributes_size(point.attributes)
    )
    own += 9 * len(getattr(point, "bucket_counts", ()) or ())
    return own + sum(map(_exemplar_size, exemplars))


def _exemplar_size(exemplar: Exemplar) -> int:
    return _EXEMPLAR_OVERHEAD + _attributes_size(exemplar.filtered_attributes)


def _attributes_size(attributes: Any) -> int:
    """An upper bound of the bytes of attributes in OTLP."""
    return sum(
        _ATTRIBUTE_OVERHEAD + len(name) + (4 * len(value) if isinstance(value, str) else 10 + len(str(value)))
        for name, value in (attributes or {}).items()
    )
