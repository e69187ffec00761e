"""Measurements of which some are known one by one and some by the buckets that they fell into."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate

from ..records import Buckets

MOST_BINS = 512
"""W&B takes no more."""


class _Steps:
    """How many of one set of intervals lie below a point: evenly spread within each."""

    def __init__(self, intervals: Sequence[tuple[float, float, int]]) -> None:
        self._intervals = intervals
        self._lows = [low for low, _, _ in intervals]
        self._before = [0, *accumulate(count for _, _, count in intervals)]

    def up_to(self, point: float, *, inclusive: bool) -> float:
        """How many lie below a point, or at it."""
        search = bisect_right if inclusive else bisect_left
        place = search(self._lows, point) - 1
        if place < 0:
            return 0
        low, high, count = self._intervals[place]
        if high <= point:
            return self._before[place + 1]
        return self._before[place] + count * _share(low, point, high)


def _share(low: float, point: float, high: float) -> float:
    """How far a point is on the way from one end to the other."""
    width = high - low
    if math.isfinite(width):
        return (point - low) / width
    return (point / 2 - low / 2) / (high / 2 - low / 2)  # two floats may be further apart than any float


class Mixture:
    """Finite measurements in ascending order, and buckets, taken together.

    Within a bucket the values are taken to be evenly spread, as in OpenTelemetry's and Prometheus's own
    estimates of quantiles; where the intervals of several histograms overlap, their counts add up.
    """

    def __init__(self, ordered: Sequence[float], buckets: Sequence[Buckets]) -> None:
        self._parts = [_Steps([(value, value, 1) for value in ordered])]
        self._parts += [_Steps(each.intervals) for each in buckets]
        ends = {end for each in buckets for low, high, _ in each.intervals for end in (low, high)}
        self._points = sorted(ends.union(ordered))
        self._edges = sorted(ends.union(ordered[:1], ordered[-1:]))
        self._count = round(self._up_to(self._points[-1])) if self._points else 0

    @property
    def is_known(self) -> bool:
        """Whether it is known of any value where it lies."""
        return self._count > 0

    def percentile(self, percent: float) -> float:
        """The value that so many percent are below, or at."""
        wanted = self._count * percent / 100
        place = min(bisect_left(self._points, wanted, key=self._up_to), len(self._points) - 1)
        point = self._points[place]
        if not place:
            return point
        before = self._points[place - 1]
        passed, below = self._up_to(before), self._up_to(point, inclusive=False)
        share = (wanted - passed) / (below - passed) if below > passed else 1.0
        # Each operation rises with the share, as a weighted sum need not.
        width = point - before
        if math.isfinite(width):
            return min(before + width * share, point)
        return min(2 * (before / 2 + (point / 2 - before / 2) * share), point)

    def histogram(self) -> tuple[list[int], list[float]]:
        """Counts and edges of the buckets themselves, neighbours joined where they are more than 512."""
        edges = self._edges
        if len(edges) == 1:
            pad = max(0.5, abs(edges[0]) / 2**40)
            return [self._count], [edges[0] - pad, edges[0] + pad]
        joined = math.ceil((len(edges) - 1) / MOST_BINS)
        edges = [*edges[:-1:joined], edges[-1]]
        upto = [round(self._up_to(edge)) for edge in edges[1:]]
        return [now - then for then, now in zip([0, *upto], upto, strict=False)], edges

    def _up_to(self, point: float, *, inclusive: bool = True) -> float:
        return sum(part.up_to(point, inclusive=inclusive) for part in self._parts)
