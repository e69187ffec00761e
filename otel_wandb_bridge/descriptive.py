"""Descriptive statistics of plain numbers; standard library only."""

import math
from collections.abc import Sequence


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean of at least one value."""
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return math.fsum(value / len(values) for value in values)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The percentile of values in ascending order, by linear interpolation between the closest ranks."""
    rank = (len(ordered) - 1) * percent / 100
    below = math.floor(rank)
    part = rank - below
    if not part:
        return ordered[below]
    return ordered[below] * (1 - part) + ordered[below + 1] * part
