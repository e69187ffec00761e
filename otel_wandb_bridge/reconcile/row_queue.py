"""Rows in the making, one a step, given out by the lowest step."""

import heapq
from collections.abc import Callable, Iterator

from .open_row import OpenRow


class RowQueue:
    """A priority queue of rows by step.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, *, late: bool = False) -> None:
        self._late = late
        self._rows: dict[int, OpenRow] = {}
        self._order: list[int] = []

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[OpenRow]:
        """The rows by ascending step."""
        return (self._rows[step] for step in sorted(self._rows))

    def __contains__(self, row: OpenRow) -> bool:
        return row.step is not None and self._rows.get(row.step) is row

    def get(self, step: int | None) -> OpenRow | None:
        """The row of a step, where it is open."""
        return None if step is None else self._rows.get(step)

    def open(self, step: int) -> OpenRow:
        """The row of a step; it is opened where it is not open yet."""
        row = self._rows.get(step)
        if row is None:
            row = self._rows[step] = OpenRow(step, late=self._late)
            heapq.heappush(self._order, step)
        return row

    def adopt(self, row: OpenRow) -> bool:
        """Take in a row of another queue. Returns False where its step is open here already."""
        assert row.step is not None
        row.late = self._late
        if row.step in self._rows:
            return False
        self._rows[row.step] = row
        heapq.heappush(self._order, row.step)
        return True

    def lowest(self) -> OpenRow | None:
        """The row of the lowest step."""
        return self._rows[self._order[0]] if self._order else None

    def pop(self) -> OpenRow:
        """Take out the row of the lowest step."""
        return self._rows.pop(heapq.heappop(self._order))

    def pop_above(self, step: int) -> list[OpenRow]:
        """Take out the rows above a step."""
        above = {row.step: row for row in self if row.step is not None and row.step > step}
        self.keep_only(lambda row: row.step not in above)
        return list(above.values())

    def keep_only(self, wanted: Callable[[OpenRow], bool]) -> None:
        """Forget all other rows."""
        self._rows = {step: row for step, row in self._rows.items() if wanted(row)}
        self._order = sorted(self._rows)
