"""Running totals by key: exact at every step, also at one that is behind."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any, Final

from ..patterns import ByKey
from .shares import SlotKey, key_of

COUNTERS = ("total", "increment")
"""What a row says of a counter."""
TOTALS_ALONE: Final[ByKey[str]] = ByKey("total")

HISTORY = 4_096
"""How many steps of a key are remembered one by one, at least; those before them are one sum."""


class _Series:
    """The increments of one key, by ascending step."""

    __slots__ = ("base", "increments", "steps", "total")

    def __init__(self, base: Any) -> None:
        self.base = base
        """The sum of what is no longer remembered step by step."""
        self.total = base
        self.steps: list[int] = []
        self.increments: list[Any] = []


class Totals:
    """What the counters of one run have come to, step by step.

    The total at a step is the sum of all increments up to and including it, in whichever order their rows
    are committed: a late row carries the total at its own step, and every row after it has the increment in
    its total. What is already written stays as it was.

    The last `HISTORY` steps with an increment are remembered for each key (4,096; at most twice as many). A
    row that is further behind than that carries the total at the oldest of them.

    Args:
        counters: `total` or `increment`, by key: with the latter, a row has what came at its step alone.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, counters: ByKey[str] = TOTALS_ALONE) -> None:
        self._counters = counters
        self._series: dict[SlotKey, _Series | None] = {}
        self._before: Callable[[str], Any] = lambda _: 0

    def resume(self, before: Callable[[str], Any]) -> None:
        """Go on from what each key has come to already, in a run that is resumed."""
        self._before = before
        for at, series in self._series.items():
            if series is not None:
                series.base += (start := self._start(at))
                series.total += start

    def shown(self, at: SlotKey, step: int | None, increment: Any) -> Any:
        """What a row says, of `step` and with `increment` in it, which is yet to be added."""
        series = self._known(at)
        if series is None:
            return increment
        steps = series.steps
        if step is None or not steps or step >= steps[-1]:
            return series.total + increment
        # Summed up anew, and not taken back from the total: floats would not come out the same.
        return sum(series.increments[: bisect_right(steps, step)], series.base) + increment

    def newest(self, at: SlotKey, increment: Any) -> Any:
        """What stands at the newest step of all once `increment` is added; None: the key has no total."""
        series = self._known(at)
        return None if series is None else series.total + increment

    def so_far(self) -> dict[str, Any]:
        """What each key has come to, at its newest step."""
        return {
            at: series.total
            for at, series in self._series.items()
            if series is not None and isinstance(at, str)
        }

    def add(self, at: SlotKey, step: int | None, increment: Any) -> None:
        """Add what came at a step (None: at the newest)."""
        series = self._known(at)
        if series is None:
            return
        series.total += increment
        steps, increments = series.steps, series.increments
        if not steps and step is None:
            series.base += increment
        elif step is None or (steps and step == steps[-1]):
            increments[-1] += increment
        elif not steps or step > steps[-1]:
            steps.append(step)
            increments.append(increment)
        else:
            place = bisect_left(steps, step)
            if steps[place] == step:
                increments[place] += increment
            else:
                steps.insert(place, step)
                increments.insert(place, increment)
        if len(steps) > 2 * HISTORY:
            series.base = sum(increments[:HISTORY], series.base)
            del steps[:HISTORY], increments[:HISTORY]

    def found_out(self, highest: int) -> int:
        """The steps above `highest` were none: what came at them counts from the newest of the others on.

        Returns:
            The newest step that is left; -1 where none is.
        """
        newest = -1
        for series in self._series.values():
            if series is None or not series.steps:
                continue
            if series.steps[-1] <= highest:
                newest = max(newest, series.steps[-1])
                continue
            place = bisect_right(series.steps, highest)
            leapt = sum(series.increments[place:])
            del series.steps[place:], series.increments[place:]
            if series.steps:
                series.increments[-1] += leapt
                newest = max(newest, series.steps[-1])
            else:
                series.base += leapt
        return newest

    def _known(self, at: SlotKey) -> _Series | None:
        try:
            return self._series[at]
        except KeyError:
            has_total = self._counters.of(key_of(at)) == "total"
            series = self._series[at] = _Series(self._start(at)) if has_total else None
            return series

    def _start(self, at: SlotKey) -> Any:
        # What each process had come to in the rows before is not known, only what all of them had.
        return self._before(at) if isinstance(at, str) else 0
