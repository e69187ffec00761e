"""What a histogram instrument recorded at one step, as the values of a W&B row."""

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import wandb

from ..descriptive import mean, percentile
from ..records import Distribution

BINS = 64
"""W&B takes at most 512 bins."""

_LARGEST = sys.float_info.max


def expand(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Exception]]:
    """Replace each `Distribution` by a `wandb.Histogram` under its key and its statistics below it.

    `key/count`, `mean`, `min`, `max`, `p50`, `p95` and `p99` are computed from the measurements of the step
    themselves, not from buckets; percentiles by linear interpolation.

    Returns:
        The values, and the keys whose values could not be expanded, with the reason.
    """
    refused: dict[str, Exception] = {}
    if Distribution not in map(type, values.values()):
        return dict(values), refused
    expanded: dict[str, Any] = {}
    for key, value in values.items():
        if not isinstance(value, Distribution):
            expanded[key] = value
            continue
        try:
            ordered = sorted(filter(math.isfinite, value.values))
            if ordered:
                counts_and_edges: Any = histogram(ordered)  # lists do as well as the arrays W&B asks for
                expanded[key] = wandb.Histogram(np_histogram=counts_and_edges)
            for name, statistic in {"count": len(value.values), **statistics(ordered)}.items():
                expanded.setdefault(f"{key}/{name}", statistic)
        except Exception as error:
            refused[key] = error
    return expanded, refused


def statistics(ordered: Sequence[float]) -> dict[str, float]:
    """The statistics of finite measurements in ascending order; none of none."""
    if not ordered:
        return {}
    return {
        "mean": mean(ordered),
        "min": ordered[0],
        "max": ordered[-1],
        "p50": percentile(ordered, 50),
        "p95": percentile(ordered, 95),
        "p99": percentile(ordered, 99),
    }


def histogram(ordered: Sequence[float]) -> tuple[list[int], list[float]]:
    """Counts and edges of `BINS` bins of equal width over finite values in ascending order."""
    low, high = float(ordered[0]), float(ordered[-1])
    width = high / BINS - low / BINS
    if low + width <= low or high - width >= high:  # the floats between them are too few for the bins
        pad = max(0.5, abs(low) / 2**40, abs(high) / 2**40)
        low, high = max(low - pad, -_LARGEST), min(high + pad, _LARGEST)
        width = high / BINS - low / BINS
    counts = [0] * BINS
    for value in ordered:
        counts[min(max(int(value / width - low / width), 0), BINS - 1)] += 1
    return counts, [low + width * index for index in range(BINS)] + [high]
