"""From totals since a start to what came since the last collection."""

from collections.abc import Hashable
from typing import Generic, TypeVar

from ..ledger import Ledger

MOST_SERIES = 200_000

T = TypeVar("T")


class Remembered(Generic[T]):
    """The last point of each series, of as many as are bounded.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, ledger: Ledger, bound: int = MOST_SERIES) -> None:
        self._ledger = ledger
        self._bound = bound
        self._last: dict[Hashable, tuple[int, T]] = {}

    def exchange(self, series: Hashable, time: int, value: T) -> tuple[bool, T | None]:
        """Remember the newest point of a series.

        Returns:
            Whether the point is newer than what is known, and the value that was known (None: none).
        """
        known = self._last.pop(series, None)
        if known is not None and time < known[0]:
            self._last[series] = known
            return False, None
        self._last[series] = (time, value)
        if len(self._last) > self._bound:
            self._last.pop(next(iter(self._last)))
            self._ledger.say_once(
                "series",
                f"more than {self._bound} cumulative series",
                "the one that was silent longest is forgotten, and counted anew should it come back; prefer "
                "delta temporality, or fewer attributes",
            )
        return True, None if known is None else known[1]
