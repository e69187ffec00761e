"""Rows that were taken for a run and are on their way to it."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..ledger import Ledger
from ..records import Row
from .run import Run
from .writer_process import WriterProcess, WriterProcessError, can_cross, crossing

BATCH = 200
"""Rows that are sent at once. Who else writes to the run waits for one batch at most."""


class Prepared(NamedTuple):
    """A row with all that goes into it."""

    row: Row
    values: dict[str, Any]
    stamp: dict[str, Any]
    """Its step under the axis key, its time."""


class Outbox:
    """Keeps rows until they are written: many go at once, to the writer process or into a journal.

    Those of a writer process stay until it has confirmed them, so that none is lost with it.

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
        self._stays = False

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
        """Whether rows can be sent: the process is ready, which it is a second or two after its start.

        Not while a row waits that cannot cross to it.
        """
        if self._process is None or self._stays:
            return False
        try:
            return self._process.is_ready()
        except WriterProcessError as error:
            self._fail(error)
            return False

    def take(self, prepared: Prepared) -> bool:
        """Take a row, if its values can cross to another process."""
        values = crossing(prepared.values)
        if not can_cross(values):
            return False
        self.rows.append(prepared._replace(values=values))
        self.unconfirmed += prepared.row.samples
        return True

    def keep(self, prepared: Prepared) -> None:
        """Take a row that is to be written in this process, whatever its values are."""
        self._stays = True
        self.rows.append(prepared)
        self.unconfirmed += prepared.row.samples

    def done(self) -> Prepared:
        """The first row is written: take it out."""
        prepared = self.rows.popleft()
        self.unconfirmed -= prepared.row.samples
        self._stays &= bool(self.rows)
        return prepared

    def send(self, steps: Sequence[int], free_step: Callable[[], int]) -> None:
        """Send the rows, each with its step. What is in the run afterwards is in the outbox no more.

        Args:
            steps: Rising.
            free_step: Asks W&B which step is free. Since steps rise, it says which rows W&B has where the
                process failed in between.

        Raises:
            Exception: what `free_step` raises.
        """
        if self._process is None:
            return
        confirmed = len(steps)
        try:
            rows = zip(self.rows, steps, strict=True)
            self._process.write([({**each.values, **each.stamp}, step) for each, step in rows])
        except WriterProcessError as error:
            free = free_step()
            confirmed = sum(step < free for step in steps)
            self._fail(error)
        for _ in range(confirmed):
            self._ledger.log_calls += 1
            self.done()

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
