"""The tail of a run that this process writes: noted before it is written, and known after a restart."""

import logging
import os
import sqlite3
import time
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ..ledger import Ledger
from ..records import Bundle, Row, Sample
from ..write.run import is_disabled, is_of_another_process, is_shared
from .encoding import as_text, plain_of, row_as_text, row_from, samples_as_text, samples_from
from .file import CLEAN, FILES, RUN, DiskFull, JournalError, NotAJournal, set_aside
from .resumed import SAFE_ROWS, Resumed, file_of, resumed
from .tail_file import STATE, WAITING, State, TailFile

SAFE_SECONDS = 300.0
"""Of an online run, a row is kept for so long at least: W&B uploads every 15 seconds, and may be behind."""
MAX_BYTES = 64 << 20
"""Rows that are kept take no more than this."""

_WRITER = "writer"
_written: "weakref.WeakKeyDictionary[Any, str]" = weakref.WeakKeyDictionary()
"""The runs of this process that had a journal, each with a name of its own."""


class TailJournal:
    """Notes rows before they are written, with what waits besides them, and knows after a restart what was.

    Before a row goes to W&B, one transaction holds it and all that was flushed and is not in a row yet. W&B
    keeps a prefix of the rows that it is given. So after a restart each sample is in a row that the run has,
    in a noted row that it has not, or among what waits: never in two of them, never in none.

    Args:
        path: The file.
        ledger: Where it is counted and said what cannot be kept.
        step_metric: The axis key.
        clock: Seconds that never go back.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(
        self,
        path: str | Path,
        ledger: Ledger,
        step_metric: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = Path(path)
        self._ledger = ledger
        self._step_metric = step_metric
        self._clock = clock
        self._file: TailFile | None = None
        self._facts: dict[str, object] = {}
        self._state = State()
        self._resumed = Resumed()
        self._kept: deque[tuple[int, int, float]] = deque()
        self._bytes = 0
        self._is_offline = True
        self._restoring: deque[tuple[int, Row]] = deque()
        self.rows: list[Row] = []
        """Rows of a process before that the run does not have, in their order."""
        self.samples: list[Sample | Bundle] = []
        """What waited in the process before."""
        self.waiting: Callable[[], Iterable[Sample | Bundle]] = lambda: ()
        """Gives what waits now."""
        self.totals: Callable[[], dict[str, Any]] = dict
        """Gives the running totals now."""

    def open(self) -> None:
        """Open the file. One that cannot be read is set aside, and said.

        Raises:
            JournalBusy: another process uses it.
            JournalError: it cannot be made.
        """
        try:
            self._file = TailFile(self.path)
        except DiskFull:
            pass  # it is said when there is something to write
        except NotAJournal as error:
            self._set_aside("unusable", str(error))
            self._file = TailFile(self.path)

    def bind(self, run: Any) -> bool:
        """It is for this run from now on: learn what the run has, and what it lacks.

        Returns:
            False where no journal can be kept of it, which is said. Never raises.
        """
        self.rows, self.samples = [], []
        self._resumed, self._state = Resumed(), State()
        if is_disabled(run) or is_of_another_process(run):
            return False
        if is_shared(run):
            self._say("unused", 'it cannot be kept: W&B numbers the rows of runs in mode="shared" by itself')
            return False
        self._is_offline = bool(getattr(run, "offline", False))
        own = file_of(run)
        name = str(getattr(run, "id", None))
        self._facts = {RUN: name, CLEAN: False, _WRITER: _name_of(run), FILES: [own] if own else []}
        try:
            if self._file is None:
                self.open()
            if self._file is None:
                raise DiskFull("the disk is full")
            self._recall(self._file, run, own)
        except (OSError, sqlite3.OperationalError, JournalError) as error:
            self._ledger.journal_errors += 1
            return self._none_for_this_run(error)
        except Exception as error:  # whatever stands in a damaged file
            self._begin_anew(error)
        return True

    @property
    def starting_step(self) -> int:
        """The first `_step` that the run does not have."""
        return self._resumed.starting_step

    @property
    def committed(self) -> int | None:
        """The highest step of a row that was not late; None: there was none."""
        return self._state.committed

    def total(self, key: str) -> Any:
        """What a running total has come to; None: not known here."""
        return self._state.totals.get(key)

    def note(self, rows: Sequence[tuple[Row, int | None]], since: int | None = None) -> None:
        """Rows are about to be written, and are not among what waits any more. Never raises."""
        noted = [(row, step) for row, step in rows if step is not None]
        if len(noted) < len(rows):
            self._stop("processes forked from this one write to the run, and W&B numbers the rows")
            return
        file = self._opened()
        if file is None:
            return
        try:
            self._note(file, noted, since)
        except Exception as error:
            self._fail(error)

    def settle(self) -> None:
        """What came in and waits is kept, too. Never raises."""
        self.note(())

    def finish(self, *, is_clean: bool) -> None:
        """The run is let go of.

        Args:
            is_clean: All of it was written.
        """
        is_bound, self._facts = bool(self._facts), {}
        file, self._file = self._file, None
        if file is None:
            return
        try:
            if is_bound:
                file.write_down(CLEAN, is_clean)
        except sqlite3.Error as error:
            self._say("unclosed", f"it cannot be closed: {error}")
        finally:
            file.let_go()

    def abandon(self, ledger: Ledger) -> None:
        """In a forked child: it is the parent's."""
        self._ledger = ledger
        if self._file is not None:
            self._file.abandon()
            self._file = None

    def _none_for_this_run(self, error: Exception) -> bool:
        self._say("unused", f"{error}; a kill loses the tail of this run", logging.ERROR)
        self._facts = {}
        file, self._file = self._file, None
        if file is not None:
            file.let_go()
        return False

    def _recall(self, file: TailFile, run: Any, own: str | None) -> None:
        before = file.fact(RUN)
        if before is not None and not self._is_continued(file, run):
            if file.has_any() and not file.fact(CLEAN):
                file.let_go()
                why = f"it holds what is not yet in run {before!r}, and this is another"
                if before == run.id:
                    why = f"run {before!r} is begun anew, and it holds what was not yet in it"
                self._set_aside(str(before), why)
                file = self._file = TailFile(self.path)
            else:
                file.begin({WAITING: [], STATE: State(), FILES: []}, [])
        earlier = file.files()
        noted = file.rows()
        has = self._has(file, run, [name for name in earlier if name != own], noted)
        self._resumed = Resumed(has)
        self._state = file.state()
        texts = [body for step, body in noted if step >= has] + file.restored()
        self.rows = [row_from(text) for text in texts]
        self.samples = samples_from(file.waiting())
        self._say_what_is_missing(has, earlier)
        self._state = self._state._replace(forgotten=max(has - 1, self._state.forgotten))
        self._restoring = deque(enumerate(self.rows))
        self._kept.clear()
        self._bytes = 0
        self._facts[FILES] = [*(name for name in earlier if name != own), *([own] if own else [])]
        try:
            file.begin(self._facts, texts)
        except sqlite3.Error as error:
            self._fail(error)

    def _is_continued(self, file: TailFile, run: Any) -> bool:
        """Whether the run goes on where the journal's ended, as opposed to being another, or begun anew."""
        if file.fact(RUN) != run.id:
            return False
        if file.fact(_WRITER) == _name_of(run):
            return True
        settings = getattr(run, "settings", None)
        if getattr(settings, "resume_from", None):
            return False  # rewound
        is_resumed = getattr(settings, "resume", None) not in (None, False, "never")
        return (
            is_resumed
            or (self._is_offline and not file.fact(CLEAN))
            or bool(getattr(run, "starting_step", 0))
        )

    def _has(self, file: TailFile, run: Any, earlier: list[str], noted: list[tuple[int, str]]) -> int:
        after = noted[-1][0] + 1 if noted else 0
        if file.fact(_WRITER) == _name_of(run):
            return after  # W&B was given all of them
        has = resumed(run, earlier, self._step_metric).starting_step
        if self._is_offline and file.fact(CLEAN) and not all(map(os.path.exists, earlier)):
            return max(has, after)  # synced, and removed
        return has

    def _say_what_is_missing(self, has: int, earlier: list[str]) -> None:
        forgotten = self._state.forgotten
        if has <= forgotten:
            where = f"; they are in {earlier[-1]}, if anywhere" if earlier else ""
            text = f"W&B has the rows below _step {has}, the journal those above {forgotten}"
            self._say("incomplete", f"{text}; those from {has} to {forgotten} are missing{where}")

    def _note(self, file: TailFile, rows: Sequence[tuple[Row, int]], since: int | None) -> None:
        texts = [(step, row_as_text(row, self._count_left_out)) for row, step in rows]
        if texts:
            since = texts[0][0] if since is None else min(since, texts[0][0])
        restored = None
        for row, _ in rows:
            if self._restoring and row is self._restoring[0][1]:
                restored = self._restoring.popleft()[0]
        committed = [row.step for row, _ in rows if row.step is not None and not row.late]
        if self._state.committed is not None:
            committed.append(self._state.committed)
        totals = plain_of({**self._state.totals, **self.totals()})
        waiting = samples_as_text(self.waiting(), self._name_left_out)
        while since is not None and self._kept and self._kept[-1][0] >= since:
            self._bytes -= self._kept.pop()[1]
        now = self._clock()
        for step, text in texts:
            self._kept.append((step, len(text), now))
            self._bytes += len(text)
        safe = self._safe(now)
        forgotten = self._state.forgotten if safe is None else max(safe, self._state.forgotten)
        self._state = State(max(committed, default=None), totals, forgotten)
        file.note(texts, waiting, as_text(self._state), since=since, restored=restored, safe=safe)

    def _safe(self, now: float) -> int | None:
        """Up to which `_step` rows are forgotten."""
        safe = None
        while self._kept:
            step, size, since = self._kept[0]
            is_stored = len(self._kept) > SAFE_ROWS and (self._is_offline or now - since > SAFE_SECONDS)
            if not is_stored and (self._bytes <= MAX_BYTES or len(self._kept) == 1):
                break
            if not is_stored:
                self._say(
                    "full", f"rows take more than {MAX_BYTES >> 20} MiB; the oldest are forgotten early"
                )
            self._kept.popleft()
            self._bytes -= size
            safe = step
        return safe

    def _opened(self) -> TailFile | None:
        """The file; after a failure, a new one where that can be had again."""
        if self._file is None and self._facts and not self.path.exists():
            try:
                self._file = TailFile(self.path)
                self._file.begin(self._facts, [row_as_text(row, _ignore) for _, row in self._restoring])
                self._restoring = deque(enumerate(row for _, row in self._restoring))
            except Exception as error:
                self._fail(error)
        return self._file

    def _fail(self, error: Exception) -> None:
        self._ledger.journal_errors += 1
        self._say(
            "unwritable",
            f"it cannot be written: {error}; training goes on. What it held is deleted, lest a restart "
            "writes rows twice: until it can be written again, a kill loses the tail of the run",
        )
        self._kept.clear()
        self._bytes = 0
        file, self._file = self._file, None
        if file is not None:
            try:
                file.delete()
            except OSError as again:
                self._say("stale", f"it cannot be deleted, either: {again}; delete it by hand", logging.ERROR)

    def _stop(self, why: str) -> None:
        self._say("unused", f"it ends here: {why}")
        self._facts = {}
        file, self._file = self._file, None
        if file is not None:
            file.delete()

    def _begin_anew(self, error: Exception) -> None:
        self.rows, self.samples = [], []
        self._resumed, self._state = Resumed(), State()
        self._restoring.clear()
        if self._file is not None:
            self._file.let_go()
            self._file = None
        try:
            self._set_aside("unusable", f"it cannot be read: {error!r}")
        except OSError as again:
            self._fail(again)

    def _set_aside(self, name: str, why: str) -> None:
        aside = set_aside(self.path, name)
        self._say(f"set aside as {aside.name}", f"{why}; it is kept as {aside}, and a new one is begun")

    def _count_left_out(self, key: str, value: Any) -> None:
        self._ledger.unjournaled += 1
        self._name_left_out(key, value)

    def _name_left_out(self, key: str, value: Any) -> None:
        self._ledger.say_once(
            "journal",
            repr(key),
            f"its values ({type(value).__name__}) are not in the journal, which holds what JSON can say",
        )

    def _say(self, what: str, text: str, level: int = logging.WARNING) -> None:
        self._ledger.say_once(f"journal {what}", str(self.path), text, level=level)


def _name_of(run: Any) -> str:
    """A name for this very object: a run that goes on in another process, or after a finish, has another."""
    return _written.setdefault(run, uuid.uuid4().hex)


def _ignore(key: str, value: Any) -> None:
    pass
