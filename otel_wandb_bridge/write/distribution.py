"""What a histogram instrument recorded at one step, as the values of a W&B row."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import wandb

from ..records import Distribution

BINS = 64
"""W&B takes at most 512 bins."""


def expand(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace each `Distribution` by a `wandb.Histogram` under its key and its statistics below it.

    `key/count`, `mean`, `min`, `max`, `p50`, `p95` and `p99` are computed from the measurements of the step
    themselves, not from buckets; percentiles by linear interpolation.
    """
    expanded: dict[str, Any] = {}
    for key, value in values.items():
        if not isinstance(value, Distribution):
            expanded[key] = value
            continue
        ordered = sorted(value.values)
        counts_and_edges: Any = histogram(ordered)  # lists do as well as the arrays W&B asks for
        expanded[key] = wandb.Histogram(np_histogram=counts_and_edges)
        for name, statistic in statistics(ordered).items():
            expanded.setdefault(f"{key}/{name}", statistic)
    return expanded


def statistics(ordered: Sequence[float]) -> dict[str, float]:
    """The statistics of measurements in ascending order, at least one of them."""
    return {
        "count": len(ordered),
        "mean": math.fsum(ordered) / len(ordered),
        "min": ordered[0],
        "max": ordered[-1],
        "p50": percentile(ordered, 50),
        "p95": percentile(ordered, 95),
        "p99": percentile(ordered, 99),
    }


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The percentile of values in ascending order, by linear interpolation between the closest ranks."""
    rank = (len(ordered) - 1) * percent / 100
    below = math.floor(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)


def histogram(ordered: Sequence[float]) -> tuple[list[int], list[float]]:
    """Counts and edges of `BINS` bins of equal width over values in ascending order."""
    low, high = ordered[0], ordered[-1]
    if low == high:
        low, high = low - 0.5, high + 0.5
    width = (high - low) / BINS
    counts = [0] * BINS
    for value in ordered:
        counts[min(int((value - low) / width), BINS - 1)] += 1
    return counts, [low + width * index for index in range(BINS)] + [high]
