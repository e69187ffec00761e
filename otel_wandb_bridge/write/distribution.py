"""What a histogram instrument recorded at one step, as the values of a W&B row."""

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import wandb

from ..patterns import ByKey
from ..records import Distribution
from .statistics import HISTOGRAM, STATISTICS, Measured

BINS = 64
"""Of equal width, where the measurements are known; W&B takes at most 512."""
ALL_ALIKE: Final[ByKey[tuple[str, ...]]] = ByKey(STATISTICS)

_LARGEST = sys.float_info.max


def expand(
    values: Mapping[str, Any], statistics: ByKey[tuple[str, ...]] = ALL_ALIKE
) -> tuple[dict[str, Any], dict[str, Exception]]:
    """Replace each `Distribution` by a `wandb.Histogram` under its key and its statistics below it.

    They are computed from the measurements of the step themselves where these are known, percentiles by
    linear interpolation; else from the buckets of the data points (see `Measured`).

    Args:
        values: Those of a row.
        statistics: Which of them, by key.

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
            made = _expanded(key, Measured(value), statistics.of(key))
            if not made:
                raise ValueError(f"of these measurements, none of {', '.join(statistics.of(key))} is known")
            # What somebody reports under the key of a statistic stands.
            for name, statistic in made.items():
                expanded.setdefault(name, statistic)
        except Exception as error:
            refused[key] = error
    return expanded, refused


def _expanded(key: str, measured: Measured, names: Sequence[str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name in names:
        if name != HISTOGRAM:
            statistic = measured.statistic(name)
            if statistic is not None:
                # W&B takes a dot for nesting.
                made[f"{key}/{name.replace('.', '_')}"] = statistic
        elif (counts_and_edges := _histogram(measured)) is not None:
            made[key] = wandb.Histogram(np_histogram=counts_and_edges)
    return made


def histogram(ordered: Sequence[float]) -> tuple[list[int], list[float]]:
    """Counts and edges of `BINS` bins of equal width over finite values in ascending order."""
    low, high = float(ordered[0]), float(ordered[-1])
    width = high / BINS - low / BINS
    if width < max(4 * math.ulp(low), sys.float_info.min):  # the floats between them are too few for the bins
        pad = max(0.5, abs(low) / 2**40)
        low, high = max(low - pad, -_LARGEST), min(high + pad, _LARGEST)
        width = high / BINS - low / BINS
    counts = [0] * BINS
    for value in ordered:
        counts[min(int(value / width - low / width), BINS - 1)] += 1
    # From both ends: the ends may be further apart than any float.
    lower, upper = range(BINS // 2), range(BINS - BINS // 2, -1, -1)
    return counts, [low + width * index for index in lower] + [high - width * index for index in upper]


def _histogram(measured: Measured) -> Any:  # lists do as well as the arrays that W&B asks for
    if measured.buckets:
        return measured.mixture.histogram() if measured.mixture.is_known else None
    return histogram(measured.ordered) if measured.ordered else None
