"""Data points without our exemplars: those of other SDKs, and of views with an aggregation of their own."""

from collections.abc import Hashable
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ExponentialHistogram,
    Gauge,
    Histogram,
    Metric,
    Sum,
)

from ..ledger import Ledger
from ..records import Kind
from .cumulative import Remembered
from .histogram import Summed, summed

News = tuple[Any, Kind]
"""A value and its kind."""


class PlainPoints:
    """Says what a data point adds to what is known of its series.

    What is cumulative becomes what came since the last point of the same series and start time, so that a
    counter, its resets and its restarts add up to one total, and so that a point that is collected again
    and again is taken once. A start time that is new is a reset: what came before has been counted. Where
    a monotonic sum falls though its start time stays, that is a reset too.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._sums: Remembered[float] = Remembered(ledger)
        self._histograms: Remembered[Summed] = Remembered(ledger)
        self._gauges: Remembered[float] = Remembered(ledger)

    def news(self, metric: Metric, series: Hashable, point: Any, *, has_step: bool) -> News | None:
        """The value of a point and its kind; None where it says nothing new.

        Args:
            metric: The metric.
            series: What tells its series from all others: resource, scope, name, attributes.
            point: The data point.
            has_step: Whether the series is that of one step: then, a gauge that says the same again has not
                been measured again.

        Raises:
            TypeError: for another aggregation than those of the specification.
            ValueError: for buckets that do not fit together.
        """
        data = metric.data
        if isinstance(data, Gauge):
            return self._of_gauge(series, point, has_step)
        if isinstance(data, Sum):
            if data.aggregation_temporality is AggregationTemporality.DELTA:
                return point.value, Kind.INCREMENT
            return self._since_start(series, point, data.is_monotonic)
        if isinstance(data, (Histogram, ExponentialHistogram)):
            now = summed(point)
            if data.aggregation_temporality is AggregationTemporality.DELTA:
                return now.buckets(), Kind.OBSERVATION
            return self._histogram_since_start(series, point, now)
        raise TypeError(
            f"its aggregation is {type(data).__name__}, which has no place in a row; a gauge, a sum or a "
            "histogram has (the view of the instrument, or its SDK, says which)"
        )

    def _of_gauge(self, series: Hashable, point: Any, has_step: bool) -> News | None:
        if has_step:
            is_new, before = self._gauges.exchange(series, point.time_unix_nano, point.value)
            if not is_new or (before is not None and _is_same(before, point.value)):
                return None
        return point.value, Kind.VALUE

    def _since_start(self, series: Hashable, point: Any, is_monotonic: bool) -> News | None:
        identity = (series, point.start_time_unix_nano)
        is_new, before = self._sums.exchange(identity, point.time_unix_nano, point.value)
        if not is_new or before == point.value:
            return None
        if before is None or (is_monotonic and point.value < before):
            return point.value, Kind.INCREMENT
        return point.value - before, Kind.INCREMENT

    def _histogram_since_start(self, series: Hashable, point: Any, now: Summed) -> News | None:
        identity = (series, point.start_time_unix_nano)
        is_new, before = self._histograms.exchange(identity, point.time_unix_nano, now)
        if not is_new:
            return None
        added = now if before is None else now.since(before) or now
        if not added.count:
            return None
        return added.buckets(), Kind.OBSERVATION


def _is_same(one: float, other: float) -> bool:
    return one == other or (one != one and other != other)
