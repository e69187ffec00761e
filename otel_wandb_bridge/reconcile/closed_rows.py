"""What processes reported for the last rows that were committed, so that a late share meets the others."""

from .open_row import OpenRow
from .shares import Slots, joined

BOUND = 100_000
"""How many samples are remembered, at least; a row that is further behind stands alone."""


class ClosedRows:
    """Remembers the shares of the last rows.

    A late share of a key makes a further row of its step, with what all processes have reported by then: the
    reduction of all, and not of the latecomer alone (stream processors call it accumulating).

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, bound: int = BOUND) -> None:
        self._bound = bound
        self._rows: dict[int, tuple[int, Slots]] = {}
        self._size = 0

    def before(self, row: OpenRow) -> Slots:
        """What rows of its step before held; empty where nothing is remembered."""
        if not self._rows or row.step is None or not row.has_shares:
            return {}
        return self._rows.get(row.step, (0, {}))[1]

    def remember(self, row: OpenRow) -> None:
        """A row was committed: nothing changes it any more."""
        step = row.step
        if step is None or not row.has_shares:
            return
        size, slots = self._rows.pop(step, (0, None))
        self._rows[step] = (size + row.samples, joined(slots, row.slots) if slots else row.slots)
        self._size += row.samples
        while self._size > self._bound and len(self._rows) > 1:
            self._size -= self._rows.pop(next(iter(self._rows)))[0]
