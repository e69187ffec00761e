"""What was said of rows before they are written, to a journal, say."""

from collections import deque
from collections.abc import Callable, Sequence
from operator import eq

from ..records import Row

BeforeCommit = Callable[[Sequence[tuple[Row, int | None]], int | None], None]


class Announced:
    """The `_step` that was told of each row that waits (None: W&B numbers it), or none where it was not told.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self) -> None:
        self._steps: deque[int | None] = deque()
        self._otherwise: int | None = None

    def __len__(self) -> int:
        return len(self._steps)

    def begin_with(self, steps: Sequence[int | None]) -> bool:
        """Whether the first rows were told with these."""
        return len(self._steps) >= len(steps) and all(map(eq, self._steps, steps))

    def tell(self, before_commit: BeforeCommit, rows: Sequence[tuple[Row, int | None]]) -> None:
        """Tell of all rows that wait, in place of what was told of them before.

        Raises:
            Exception: what `before_commit` raises. It knows none of them then.
        """
        if self._steps and self._steps[0] is not None:
            self._otherwise = self._steps[0]
        self._steps.clear()
        before_commit(rows, self._otherwise)
        self._otherwise = None
        self._steps.extend(step for _, step in rows)

    def done(self) -> None:
        """The first row is written."""
        if self._steps:
            self._steps.popleft()
