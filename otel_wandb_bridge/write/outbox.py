"""Rows that were taken for a run and are on their way to it."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from ..ledger import Ledger
from ..records import Row
from .run import Run
from .writer_process import WriterProcess, WriterProcessError, can_cross, crossing

BATCH: Final = 200
"""Rows that are written one right after the other, or sent at once. Who else writes to the run waits for one
batch that is sent at most."""
BATCH_SAMPLES: Final = 5_000
"""Of large rows, fewer: no more of them are in memory than are needed."""

_LOOK_SECONDS = 0.2
_MOST_LOOKS = 25


class Prepared(NamedTuple):
    """A row with all that goes into it."""

    row: Row
    values: dict[str, Any]
    stamp: dict[str, Any]
    """Its step under the axis key, its time."""


class Outbox:
    """Keeps rows until they are written, a batch at a time: W&B's code and ours each stay in the processor's
    caches then, which makes a row a good deal cheaper than in turns.

    A row leaves it when W&B's service was sent it, or a writer process has confirmed it.

    Args:
        run: The run.
        ledger: Where it is said when the process fails.

    Thread-safety: none; the pipeline's lock guards it. `unconfirmed` may be read from any thread.
    """

    def __init__(self, run: Run, ledger: Ledger) -> None:
        self._run = run
        self._ledger = ledger
        self._process: WriterProcess | None = None
        self._was_started = False
        self.rows: deque[Prepared] = deque()
        """In the order in which they are to be written."""
        self.unconfirmed = 0
        """How many samples they hold."""
        self.most_samples = BATCH_SAMPLES
        """So many make a batch, however few rows they are."""

    def start(self) -> None:
        """Start the process. Only once: where it failed, a thread does as well."""
        if self._was_started:
            return
        self._was_started = True
        try:
            self._process = WriterProcess(self._run)
        except WriterProcessError as error:
            self._fail(error)

    def is_open(self) -> bool:
        """Whether rows can be sent: the process is ready, which it is a second or two after its start."""
        if self._process is None:
            return False
        try:
            return self._process.is_ready()
        except WriterProcessError as error:
            self._fail(error)
            return False

    @property
    def is_full(self) -> bool:
        """Whether it holds a batch."""
        return len(self.rows) >= BATCH or self.unconfirmed >= self.most_samples

    def take(self, prepared: Prepared) -> None:
        """Take a row, to be written after those that are there."""
        self.rows.append(prepared)
        self.unconfirmed += prepared.row.samples

    def done(self) -> Prepared:
        """The first row is written: take it out."""
        prepared = self.rows.popleft()
        self.unconfirmed -= prepared.row.samples
        self._ledger.rows += 1
        self._ledger.late_rows += prepared.row.late
        return prepared

    def sendable(self, rows: int = BATCH, samples: float = math.inf) -> list[dict[str, Any]]:
        """The values of the first rows, up to one that cannot cross to another process.

        Args:
            rows: So many at most.
            samples: And no more than are needed for so many.
        """
        found: list[dict[str, Any]] = []
        for each in islice(self.rows, rows):
            values = crossing({**each.values, **each.stamp})
            if not can_cross(values) or samples <= 0:
                break
            found.append(values)
            samples -= len(values)
        return found

    def send(
        self, rows: Sequence[dict[str, Any]], steps: Sequence[int], free_step: Callable[[], int]
    ) -> list[Prepared]:
        """Send the first rows, each with its step.

        Args:
            rows: As `sendable` gave them.
            steps: Rising.
            free_step: Asks W&B which step is free. Since steps rise, it says which rows W&B has where the
                process failed in between.

        Returns:
            Those that are in the run now, and in the outbox no more.

        Raises:
            Exception: what `free_step` raises.
        """
        if self._process is None:
            return []
        confirmed = len(steps)
        try:
            self._process.write([*zip(rows, steps, strict=True)])
        except WriterProcessError as error:
            self._fail(error)
            free = _settled(free_step)
            confirmed = sum(step < free for step in steps)
        self._ledger.log_calls += confirmed
        return [self.done() for _ in range(confirmed)]

    def close(self) -> None:
        """Let the process end."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def after_fork(self) -> None:
        """In a forked child: it is the parent's."""
        if self._process is not None:
            self._process.after_fork()
            self._process = None

    def _fail(self, error: WriterProcessError) -> None:
        self._ledger.say_once("writer process", "this run", f"{error}; a thread writes the rows")
        self.close()


def _settled(answer: Callable[[], int]) -> int:
    """The answer once it stands still: W&B may still read what a process that has ended had sent."""
    before, now = -1, answer()
    for _ in range(_MOST_LOOKS):
        if now == before:
            break
        time.sleep(_LOOK_SECONDS)
        before, now = now, answer()
    return now
