"""Which samples the rows of a run hold already. Pure."""

from collections.abc import Iterable

from .journal import Commit


class Committed:
    """Answers for samples of parts that were handed to the pipeline, by the rows that the run has.

    When a row of step *s* is written that is not late, all samples of steps up to *s* that were handed over
    by then are in it or in rows before it: late rows go first. So the last such row answers for all of them,
    and the late rows that came after it for themselves.

    Args:
        rows: The rows that the run has, in the order in which they were written.
    """

    def __init__(self, rows: Iterable[Commit] = ()) -> None:
        self.step: int | None = None
        """The highest step of a row that was not late."""
        self.through = 0
        self._stepless = 0
        self._late: dict[int, int] = {}
        for row in rows:
            self.add(row)

    def add(self, row: Commit) -> None:
        """The run has this row, too."""
        if row.step is None:
            self._stepless = row.through
        elif row.late:
            self._late[row.step] = row.through
        elif self.step is None or row.step >= self.step:
            self.step, self.through = row.step, row.through
            self._late = {step: through for step, through in self._late.items() if through > row.through}

    def has(self, release: int | None, step: int | None, newest: int | None = None) -> bool:
        """Whether a sample is in a row.

        Args:
            release: The release in which it was handed over; None: it never was.
            step: Its step; None: it rides on the newest row.
            newest: The newest step when it was handed over.
        """
        if release is None:
            return False
        if step is None and newest is None:
            return release <= self._stepless
        at = newest if step is None else step
        if self.step is not None and at is not None and at <= self.step and release <= self.through:
            return True
        return step is not None and release <= self._late.get(step, 0)
