"""OTLP data points as the data points of the SDK, so that one set of rules reads both.

The messages are those of `opentelemetry.proto`, taken by their fields alone: nothing is imported from there.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)

from ..attributes import SETTLED_STEP

NO_RECORDED_VALUE = 1
"""The flag of a data point that says: nothing was recorded (metrics data model, "Data point flags")."""

OVERFLOW = "otel.metric.overflow"
"""The attribute of the data point that an SDK puts in place of those beyond its cardinality limit."""

KINDS = ("gauge", "sum", "histogram", "exponential_histogram")
"""The kinds of metric that can be read; `summary` is what OTLP has besides."""

_DEEPEST = 16


def why_unusable(metric: Any, kind: str) -> str | None:
    """Why no data point of a metric can be used; None where they can."""
    if kind not in KINDS:
        return f"a {kind} has no values of its own to write; export a histogram"
    if not metric.name:
        return "it has no name"
    if kind != "gauge" and getattr(metric, kind).aggregation_temporality not in (1, 2):
        return "its aggregation temporality must be delta or cumulative"
    return None


def attributes_of(pairs: Iterable[Any]) -> dict[str, Any]:
    """Attributes out of `KeyValue` messages; of a key that comes twice, the last stands."""
    return {pair.key: value_of(pair.value) for pair in pairs}


def value_of(any_value: Any, depth: int = 0) -> Any:
    """The Python value of an `AnyValue`: arrays are tuples, bytes are their base64 text."""
    kind = any_value.WhichOneof("value")
    if kind is None:
        return None
    value = getattr(any_value, kind)
    if kind == "bytes_value":
        return base64.b64encode(value).decode()
    if kind == "array_value":
        return tuple(value_of(each, depth + 1) for each in value.values) if depth < _DEEPEST else None
    if kind == "kvlist_value":
        if depth >= _DEEPEST:
            return None
        return tuple((each.key, value_of(each.value, depth + 1)) for each in value.values)
    return value


def exemplar_of(message: Any) -> Exemplar:
    """An exemplar with its filtered attributes and the ids of its span."""
    kind = message.WhichOneof("value")
    value: Any = None if kind is None else getattr(message, kind)
    attributes = attributes_of(message.filtered_attributes)
    step = attributes.get(SETTLED_STEP)
    if type(step) is int and step < 0:  # nobody's reservoir settles on that
        attributes[SETTLED_STEP] = f"{step}: a step is an int, 0 or greater"
    if message.span_id and message.trace_id:
        span, trace = int.from_bytes(message.span_id, "big"), int.from_bytes(message.trace_id, "big")
        return Exemplar(attributes, value, message.time_unix_nano, span, trace)
    return Exemplar(attributes, value, message.time_unix_nano)


def metric_of(message: Any, kind: str, points: Sequence[Any]) -> Metric:
    """A metric with some of its data points."""
    data: Any
    if kind == "gauge":
        data = Gauge(points)
    elif kind == "sum":
        data = Sum(points, _temporality(message.sum), message.sum.is_monotonic)
    elif kind == "histogram":
        data = Histogram(points, _temporality(message.histogram))
    else:
        data = ExponentialHistogram(points, _temporality(message.exponential_histogram))
    return Metric(message.name, message.description, message.unit, data)


def point_of(
    message: Any, kind: str, attributes: Mapping[str, Any], exemplars: Sequence[Exemplar]
) -> NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint:
    """A data point of the SDK, with these attributes and exemplars."""
    start, time = message.start_time_unix_nano, message.time_unix_nano
    if kind in ("gauge", "sum"):
        which = message.WhichOneof("value")
        value = 0 if which is None else getattr(message, which)
        return NumberDataPoint(attributes, start, time, value, exemplars)
    total = message.sum
    low = message.min if message.HasField("min") else float("inf")
    high = message.max if message.HasField("max") else float("-inf")
    if kind == "histogram":
        return HistogramDataPoint(
            attributes,
            start,
            time,
            message.count,
            total,
            tuple(message.bucket_counts),
            tuple(message.explicit_bounds),
            low,
            high,
            exemplars,
        )
    return ExponentialHistogramDataPoint(
        attributes,
        start,
        time,
        message.count,
        total,
        message.scale,
        message.zero_count,
        _buckets(message.positive),
        _buckets(message.negative),
        message.flags,
        low,
        high,
        exemplars,
    )


def _buckets(message: Any) -> Buckets:
    return Buckets(message.offset, tuple(message.bucket_counts))


def _temporality(data: Any) -> AggregationTemporality:
    return AggregationTemporality(data.aggregation_temporality)
