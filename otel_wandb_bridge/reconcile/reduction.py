"""One value of a key and step out of what several processes report for it.

Declared, not guessed from names: `reduce={"tokens": "sum", "time/*": ("mean", "max", "p95")}`.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from ..descriptive import mean, percentile

PER_RANK = "per_rank"
_PLAIN = ("count", "first", "last", "max", "mean", "median", "min", PER_RANK, "std", "sum")
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100)")
_WEIGHTED = re.compile(r"mean\(weight=(.+)\)")

EXPECTED = f"{', '.join(_PLAIN)}, p95 (any percentile) or mean(weight=KEY)"


class Share(NamedTuple):
    """What one process reports for a key at a step."""

    label: str
    """`rank_3`, or the instance where the process has no rank; empty where no process is known."""
    value: float
    time: float
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Statistic:
    """One number out of the shares of a key.

    Attributes:
        name: What stands behind the key, where it is not the first that was asked for.
        weight: The key whose value at the same step and process weighs the mean.
    """

    name: str
    weight: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Statistic":
        """Read what a user wrote.

        Raises:
            ValueError: with what came and what is expected.
        """
        weighted = _WEIGHTED.fullmatch(text.strip())
        if weighted:
            return cls("mean", weighted.group(1).strip())
        if text.strip() in _PLAIN or _PERCENTILE.fullmatch(text.strip()):
            return cls(text.strip())
        raise ValueError(f"expected {EXPECTED}; got {text!r}")

    def of(self, shares: Sequence[Share]) -> float:
        """The number out of at least one share. NaN in one is NaN, but for `count`, `first`, `last`."""
        values = [share.value for share in shares]
        if self.name == "count":
            return len(values)
        if self.name == "last":
            return max(shares, key=_measured_at).value
        if self.name == "first":
            return min(shares, key=_measured_at).value
        if any(value != value for value in values):
            return math.nan
        if self.name == "sum":
            return sum(values)
        if self.name == "min":
            return min(values)
        if self.name == "max":
            return max(values)
        if self.name == "mean":
            return mean_of(values) if self.weight is None else _weighted_mean(shares)
        if self.name == "std":
            center = mean_of(values)
            return math.sqrt(mean_of([(value - center) ** 2 for value in values]))
        return percentile(sorted(values), 50 if self.name == "median" else float(self.name[1:]))


DEFAULT = (Statistic("mean"), Statistic("min"), Statistic("max"))


class Reductions:
    """Which statistics of a key are written, by key or pattern (`*`, `?`, `[...]`; the first that matches).

    Args:
        declared: Key or pattern to one statistic or several. A key by its name goes before any pattern.

    Raises:
        TypeError, ValueError: naming the key, what came and what is expected.
    """

    def __init__(self, declared: Mapping[str, str | Sequence[str]] | None = None) -> None:
        self.declared = {
            pattern: _statistics(pattern, wanted) for pattern, wanted in (declared or {}).items()
        }
        self._known: dict[str, tuple[Statistic, ...] | None] = {}

    def of(self, key: str) -> tuple[Statistic, ...] | None:
        """The statistics that are declared for a key; None: the default."""
        if key not in self._known:
            self._known[key] = self._look_up(key)
        return self._known[key]

    def _look_up(self, key: str) -> tuple[Statistic, ...] | None:
        if key in self.declared:
            return self.declared[key]
        return next(
            (wanted for pattern, wanted in self.declared.items() if fnmatchcase(key, pattern)),
            None,
        )


def reduced(key: str, statistics: Sequence[Statistic] | None, shares: Sequence[Share]) -> dict[str, Any]:
    """The values of a key in its row.

    The first statistic stands under the key itself, the others below it: `time`, `time/max`, `time/p95`.

    Args:
        key: The key.
        statistics: What is declared for it; None is `mean` with `min` and `max` below it, and a value that
            only one process reports as it is.
        shares: What the processes report, at least one.
    """
    if statistics is None:
        if len(shares) == 1:
            return {key: shares[0].value}
        statistics = DEFAULT
    values: dict[str, Any] = {}
    for statistic in statistics:
        if statistic.name == PER_RANK:
            values |= {f"{share.label}/{key}": share.value for share in shares if share.label}
        else:
            values[f"{key}/{statistic.name}" if key in values else key] = statistic.of(shares)
    return values


def number_in(value: Any) -> float | None:
    """The plain number that a value is (an array or a tensor, where it holds just one); None of all else."""
    if isinstance(value, (float, int)):
        return value
    try:
        # What NumPy and PyTorch scalars have in common; text, media and containers have none of it.
        if math.prod(getattr(value, "shape", (2,))) != 1:
            return None
        number = value.item()
    except Exception:
        return None
    return number if isinstance(number, (float, int)) else None


def _statistics(pattern: Any, wanted: Any) -> tuple[Statistic, ...]:
    if not isinstance(pattern, str) or not pattern:
        raise TypeError(f"reduce must have keys or patterns (non-empty strings) for keys; got {pattern!r}")
    texts = (wanted,) if isinstance(wanted, str) else wanted
    if not isinstance(texts, (list, tuple)) or not texts or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"reduce[{pattern!r}] must be a statistic or several: {EXPECTED}; got {wanted!r}")
    try:
        return tuple(dict.fromkeys(map(Statistic.parse, texts)))
    except ValueError as error:
        raise ValueError(f"reduce[{pattern!r}]: {error}") from None


def _measured_at(share: Share) -> float:
    return share.time


def mean_of(values: Sequence[float]) -> float:
    """The mean of at least one number, however large; NaN of both infinities."""
    try:
        return mean(values)
    except ValueError:  # both infinities
        return math.nan
    except OverflowError:  # integers beyond floats
        return math.inf if sum(values) > 0 else -math.inf


def _weighted_mean(shares: Sequence[Share]) -> float:
    weighed = [(share.value, share.weight) for share in shares if share.weight is not None]
    total = sum(weight for _, weight in weighed)
    if not total:
        return mean_of([share.value for share in shares])
    return sum(value * weight for value, weight in weighed) / total
