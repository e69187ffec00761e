"""What is written of a histogram instrument's measurements at one step: a choice of statistics."""

import math
import re
from collections.abc import Callable
from typing import Any

from ..descriptive import mean, percentile
from ..records import Buckets, Distribution
from .mixture import Mixture

HISTOGRAM = "histogram"
STATISTICS = (HISTOGRAM, "count", "mean", "min", "max", "p50", "p95", "p99")
"""What is written where nothing else is chosen."""

EXPECTED = "histogram, count, sum, mean, std, min, max, and percentiles from p0 to p100 such as p50 or p99.9"

_PERCENTILE = re.compile(r"p(\d{1,3}(?:\.\d+)?)")


def checked(option: str, given: Any) -> tuple[str, ...]:
    """Names of statistics, from a list of them or a text with commas.

    Raises:
        TypeError, ValueError: naming the option, what came and what is expected.
    """
    names = given.split(",") if isinstance(given, str) else given
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{option} must be a list of statistics: {EXPECTED}; got {given!r}")
    names = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not names:
        raise ValueError(f"{option} must have at least one statistic: {EXPECTED}; got {given!r}")
    for name in names:
        if name not in _STATISTICS and name != HISTOGRAM and _percent(name) is None:
            raise ValueError(f"{option} must be statistics: {EXPECTED}; got {name!r}")
    return names


class Measured:
    """The measurements of one step: each by itself, or in the buckets of histogram data points.

    Statistics are those of the measurements themselves where these are known. Of buckets, percentiles are
    estimates; the least, the greatest and the sum are what the data points say, if all of them do.
    """

    def __init__(self, distribution: Distribution) -> None:
        self.buckets: list[Buckets] = []
        values: list[float] = []
        for value in distribution.values:
            if isinstance(value, Buckets):
                self.buckets.append(value)
            else:
                values.append(value)
        self.ordered = sorted(filter(math.isfinite, values))
        self.count = len(values) + sum(each.count for each in self.buckets)
        self._mixture: Mixture | None = None

    def statistic(self, name: str) -> float | None:
        """A statistic by its name; None where it is not known."""
        percent = _percent(name)
        if percent is None:
            return _STATISTICS[name](self)
        if self.buckets:
            return self.mixture.percentile(percent) if self.mixture.is_known else None
        return percentile(self.ordered, percent) if self.ordered else None

    @property
    def mixture(self) -> Mixture:
        """Where the values lie, as far as that is known."""
        if self._mixture is None:
            self._mixture = Mixture(self.ordered, self.buckets)
        return self._mixture

    def _sum(self) -> float | None:
        sums = [each.sum for each in self.buckets if each.count]
        if any(each is None for each in sums):
            return None
        return math.fsum([*self.ordered, *(each for each in sums if each is not None)])

    def _mean(self) -> float | None:
        if not self.buckets:
            return mean(self.ordered) if self.ordered else None
        total, count = self._sum(), len(self.ordered) + sum(each.count for each in self.buckets)
        return total / count if total is not None and count else None

    def _std(self) -> float | None:
        if self.buckets or not self.ordered:
            return None
        middle = mean(self.ordered)
        return math.sqrt(mean([(value - middle) ** 2 for value in self.ordered]))

    def _extreme(self, which: Callable[[list[float]], float], name: str) -> float | None:
        known = [getattr(each, name) for each in self.buckets if each.count]
        values = [*(self.ordered[place] for place in (0, -1) if self.ordered), *known]
        return None if not values or None in values else which(values)


_STATISTICS: dict[str, Callable[[Measured], float | None]] = {
    "count": lambda measured: measured.count,
    "sum": Measured._sum,
    "mean": Measured._mean,
    "std": Measured._std,
    "min": lambda measured: measured._extreme(min, "min"),
    "max": lambda measured: measured._extreme(max, "max"),
}


def _percent(name: str) -> float | None:
    match = _PERCENTILE.fullmatch(name)
    percent = float(match[1]) if match else None
    return percent if percent is not None and percent <= 100 else None
