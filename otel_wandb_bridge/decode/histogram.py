"""The buckets of a histogram data point: what came between two collections, and where its values lie.

OpenTelemetry specification, metrics data model, "Histogram" and "ExponentialHistogram". What is read of them
is named alike in the data points of the SDK and of OTLP.
"""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from ..records import Buckets

_LARGEST = sys.float_info.max

Interval = tuple[float, float, int]


@dataclass(frozen=True, slots=True)
class Explicit:
    """Buckets between bounds that were chosen: each takes its upper bound, but not its lower one."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]

    def since(self, earlier: "Explicit") -> "Explicit | None":
        """What was added since `earlier`; None where it does not go on from it."""
        if not isinstance(earlier, Explicit) or self.bounds != earlier.bounds:
            return None
        counts = tuple(now - then for now, then in zip(self.counts, earlier.counts, strict=True))
        return None if any(count < 0 for count in counts) else Explicit(self.bounds, counts)

    def intervals(self) -> Iterator[Interval]:
        """Where values lie, by ascending bounds: from, to, how many."""
        edges = (-math.inf, *self.bounds, math.inf)
        return (
            (low, high, count)
            for low, high, count in zip(edges, edges[1:], self.counts, strict=False)
            if count
        )


@dataclass(frozen=True, slots=True)
class Exponential:
    """Buckets between powers of a base: that of index *i* ends at base^(i+1), base being 2^(2^-scale)."""

    scale: int
    zeros: int
    threshold: float
    """Up to which values count as zeros."""
    positive: Mapping[int, int]
    """Index to count."""
    negative: Mapping[int, int]

    def since(self, earlier: "Exponential") -> "Exponential | None":
        """What was added since `earlier`, at the coarser scale of the two; None where it does not go on."""
        if not isinstance(earlier, Exponential):
            return None
        scale = min(self.scale, earlier.scale)
        now = self._at(scale, self.threshold)
        then = earlier._at(scale, max(self.threshold, earlier.threshold))
        positive, negative = _less(now.positive, then.positive), _less(now.negative, then.negative)
        zeros = now.zeros - then.zeros
        if positive is None or negative is None or zeros < 0:
            return None
        return replace(now, zeros=zeros, positive=positive, negative=negative)

    def intervals(self) -> Iterator[Interval]:
        """Where values lie, by ascending bounds: from, to, how many."""
        for index in sorted(self.negative, reverse=True):
            yield -self._bound(index + 1), -self._bound(index), self.negative[index]
        if self.zeros:
            yield -self.threshold, self.threshold, self.zeros
        for index in sorted(self.positive):
            yield self._bound(index), self._bound(index + 1), self.positive[index]

    def _at(self, scale: int, threshold: float) -> "Exponential":
        shift = self.scale - scale
        sides: list[dict[int, int]] = []
        coarser = replace(self, scale=scale, threshold=threshold)
        zeros = self.zeros
        for side in (self.positive, self.negative):
            merged: dict[int, int] = {}
            for index, count in side.items():
                if coarser._bound((index >> shift) + 1) <= threshold:
                    zeros += count
                else:
                    merged[index >> shift] = merged.get(index >> shift, 0) + count
            sides.append(merged)
        return replace(coarser, zeros=zeros, positive=sides[0], negative=sides[1])

    def _bound(self, index: int) -> float:
        try:
            return math.pow(2.0, index * math.pow(2.0, -self.scale))
        except OverflowError:
            return _LARGEST


@dataclass(frozen=True, slots=True)
class Summed:
    """What a histogram data point says."""

    count: int
    sum: float | None
    min: float | None
    max: float | None
    shape: Explicit | Exponential

    def since(self, earlier: "Summed") -> "Summed | None":
        """What was added since `earlier`; None where it does not go on from it (a reset)."""
        shape = self.shape.since(earlier.shape)  # type: ignore[arg-type]
        if shape is None or self.count < earlier.count:
            return None
        known = self.sum is not None and earlier.sum is not None
        return Summed(
            self.count - earlier.count,
            self.sum - earlier.sum if known else None,  # type: ignore[operator]
            # The least of all is the least of these only where it is lower than before.
            self.min if _is_beyond(self.min, earlier.min, -1) else None,
            self.max if _is_beyond(self.max, earlier.max, 1) else None,
            shape,
        )

    def buckets(self) -> Buckets:
        """The same as a row takes it: bounded intervals."""
        low = -math.inf if self.min is None else self.min
        high = math.inf if self.max is None else self.max
        intervals = []
        for start, end, count in self.shape.intervals():
            # A bucket that is open to one side, and of which no extreme is known, stands at its other end.
            start, end = max(start, low), min(end, high)
            if math.isinf(start):
                start = 0.0 if end > 0 and math.isfinite(end) else end
            if math.isinf(end):
                end = start
            if math.isfinite(start) and math.isfinite(end):
                intervals.append((min(start, end), end, count))
        return Buckets(tuple(intervals), self.count, self.sum, self.min, self.max)


def summed(point: Any) -> Summed:
    """What a histogram data point says, explicit or exponential.

    Raises:
        ValueError: its parts do not fit together.
    """
    total = point.sum
    return Summed(
        point.count,
        total if total is not None and math.isfinite(total) else None,
        _extreme(point.min),
        _extreme(point.max),
        _exponential(point) if hasattr(point, "scale") else _explicit(point),
    )


def _explicit(point: Any) -> Explicit:
    bounds, counts = tuple(point.explicit_bounds or ()), tuple(point.bucket_counts or ())
    if not counts and not bounds:  # OTLP allows it: nothing but count and sum
        counts = (point.count,)
    if len(counts) != len(bounds) + 1:
        raise ValueError(f"a histogram with {len(bounds)} bounds has one bucket more; got {len(counts)}")
    if any(not low < high for low, high in pairwise(bounds)):
        raise ValueError(f"the bounds of a histogram rise; got {bounds}")
    return Explicit(bounds, counts)


def _exponential(point: Any) -> Exponential:
    threshold = getattr(point, "zero_threshold", 0.0)
    return Exponential(
        point.scale, point.zero_count, threshold, _by_index(point.positive), _by_index(point.negative)
    )


def _by_index(buckets: Any) -> dict[int, int]:
    counts: Sequence[int] = buckets.bucket_counts or ()
    return {buckets.offset + place: count for place, count in enumerate(counts) if count}


def _less(now: Mapping[int, int], then: Mapping[int, int]) -> dict[int, int] | None:
    if any(now.get(index, 0) < count for index, count in then.items()):
        return None
    left = {index: count - then.get(index, 0) for index, count in now.items()}
    return {index: count for index, count in left.items() if count}


def _extreme(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _is_beyond(now: float | None, then: float | None, sign: int) -> bool:
    return now is not None and (then is None or (now - then) * sign > 0)
