"""What processes reported for the last rows that were committed, so that a late share meets the others."""

from ..records import Bundle, Kind, Sample
from .open_row import OpenRow, Slot, Slots
from .shares import SlotKey

BOUND = 100_000
"""How many values are remembered, at least; a row that is further behind stands alone."""


class ClosedRows:
    """Remembers the shares of the last rows.

    A late share of a key makes a further row of its step, with what all processes have reported by then: the
    reduction of all, and not of the latecomer alone (stream processors call it accumulating). Counters are
    not remembered here: their running totals know every step.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, bound: int = BOUND) -> None:
        self._bound = bound
        self._rows: dict[int, tuple[Slots, int]] = {}
        self._size = 0

    def joined_by(self, row: OpenRow) -> Slots:
        """The shares of a row together with those of the rows of its step before; these count no samples."""
        closed = self._rows.get(row.step) if row.step is not None else None
        if closed is None or not row.has_shares:
            return row.slots
        joined: dict[SlotKey, Slot | Bundle | Sample] = {
            at: _counting_nothing(held)
            for at, held in closed[0].items()
            if type(held) is not Bundle and held.kind is not Kind.INCREMENT and not isinstance(at, str)
        }
        for at, held in row.slots.items():
            earlier = joined.get(at)
            if type(earlier) is Slot and type(held) is not Bundle:
                joined[at] = _both(earlier, _slot_of(held))
            else:
                joined[at] = held
        return joined

    def remember(self, row: OpenRow) -> None:
        """A row was committed: nothing of it changes any more."""
        step = row.step
        if step is None or not row.has_shares:
            return
        slots = self.joined_by(row)
        size = row.samples if slots is row.slots else sum(map(_size, slots.values()))
        self._forget(step)
        self._rows[step] = (slots, size)
        self._size += size
        while self._size > self._bound and len(self._rows) > 1:
            self._forget(next(iter(self._rows)))

    def _forget(self, step: int) -> None:
        self._size -= self._rows.pop(step, ({}, 0))[1]


def _both(earlier: Slot, late: Slot) -> Slot:
    if earlier.kind is not late.kind:
        return late
    if late.kind is Kind.OBSERVATION:
        both = late.copy()
        both.value = [*earlier.value, *late.value]
        return both
    wins = (late.priority, -late.time) <= (earlier.priority, -earlier.time)
    return late if wins or late.kind is Kind.INCREMENT else earlier


def _slot_of(held: Slot | Sample) -> Slot:
    return held if isinstance(held, Slot) else Slot(held)


def _counting_nothing(held: Slot | Sample) -> Slot:
    twin = held.copy() if isinstance(held, Slot) else Slot(held)
    twin.samples = 0
    return twin


def _size(held: Slot | Bundle | Sample) -> int:
    return len(held.value) if type(held) is Slot and held.kind is Kind.OBSERVATION else 1
