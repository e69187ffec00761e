"""The journal's part in the pipeline: what a process before this one has left is written first."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..ledger import Ledger
from ..options import Options
from ..reconcile import Reconciler
from ..reconcile.open_row import size_of
from ..records import Bundle, Row, Sample
from ..write import Run, RunTarget
from .entrance import Memory

if TYPE_CHECKING:
    from ..journal.tail import TailJournal


class Journaling:
    """Keeps the journal of the runs of a pipeline, where one was asked for; else it does nothing.

    Args:
        options: What the exporter was asked for.
        ledger: The counts of the pipeline.
        target: Where the rows go. Where that is known already, the journal is opened at once.

    Raises:
        JournalError: it cannot be used: another process has it, or there is no such place.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, options: Options, ledger: Ledger, target: RunTarget) -> None:
        self._ledger = ledger
        self._tail = _tail_of(options, ledger)
        self.rows: deque[Row] = deque()
        """Rows that come before all others."""
        self.pending = 0
        """How many samples they hold."""
        self.is_behind = False
        """Something has come in since the journal was written."""
        if self._tail is not None and target.is_bound:
            try:
                self._tail.open()
            except BaseException:
                target.release()
                raise

    @property
    def is_asked_for(self) -> bool:
        """Whether there is to be one."""
        return self._tail is not None

    @property
    def committed(self) -> int:
        """The highest step of the rows that it knew at the start; -1 where there was none."""
        committed = None if self._tail is None else self._tail.committed
        return -1 if committed is None else committed

    def memory_of(self, run: Run) -> Memory | None:
        """What the journal knows of the rows that a run has; None: there is no journal of it."""
        return self._tail if self._tail is not None and self._tail.bind(run) else None

    def is_of(self, memory: Memory | None) -> bool:
        """Whether that is our own memory."""
        return memory is not None and memory is self._tail

    def restore(
        self, reconciler: Reconciler, now: float, deferred: Callable[[], Iterable[Sample | Bundle]]
    ) -> None:
        """Take up what a process before this one has left.

        Args:
            reconciler: What waits goes there, and is asked for there from now on.
            now: Seconds of the injected clock.
            deferred: Gives what waits elsewhere.
        """
        tail = self._tail
        assert tail is not None
        self.rows.extend(tail.rows)
        self.pending = sum(row.samples for row in tail.rows)
        count = self.pending + sum(map(size_of, tail.samples))
        self._ledger.recorded += count
        self._ledger.restored += count
        reconciler.add(tail.samples, now)

        def waiting() -> Iterator[Sample | Bundle]:
            self.is_behind = False
            yield from reconciler.waiting()
            yield from deferred()

        tail.waiting = waiting
        tail.totals = reconciler.totals.so_far
        self.is_behind = True

    def pop(self) -> None:
        """Take out the first of the rows: it is the writer's now."""
        row = self.rows.popleft()
        self.pending -= row.samples
        self._ledger.written += row.samples

    def settle(self) -> None:
        """A flush is over: what it has left waiting is kept. Never raises."""
        if self.is_behind and self._tail is not None:
            self.is_behind = False
            self._tail.settle()

    def finish(self, *, is_clean: bool) -> None:
        """The run is let go of; with `is_clean`, all of it was written."""
        if self._tail is not None:
            self._tail.finish(is_clean=is_clean)
        self._forget()

    def abandon(self, ledger: Ledger) -> None:
        """In a forked child: it is the parent's."""
        self._ledger = ledger
        if self._tail is not None:
            self._tail.abandon(ledger)
        self._forget()

    def _forget(self) -> None:
        self.rows.clear()
        self.pending = 0


def _tail_of(options: Options, ledger: Ledger) -> "TailJournal | None":
    if not options.journal:
        return None
    from ..journal.tail import TailJournal  # not where it is not asked for: it brings much along

    return TailJournal(Path(options.journal), ledger, options.step_metric)
