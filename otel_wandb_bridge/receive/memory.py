"""The journal's part in the pipeline: which samples are in rows that the run has."""

import logging
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..exporter import WandbMetricExporter
from ..journal.file import CLEAN, FILES, RUN
from ..journal.resumed import SAFE_ROWS, Resumed, file_of, resumed
from ..records import Row
from ..write.run import is_shared
from .committed import Committed
from .journal import FORGOTTEN, Commit, Journal, Release

_logger = logging.getLogger("otel_wandb_bridge")

_KEPT_SHARE = 16
"""Safe requests are kept, too, up to this fraction of the journal: W&B may be far behind with uploads."""


class JournalMemory:
    """Notes in the journal what is written, and knows after a restart what was.

    Rows are noted *before* they are written, and after a restart those that the run does not have are
    forgotten: W&B keeps a prefix of what it is given. So a sample is in a row that the run has, or it is
    handed to the pipeline again; never both, never neither.

    Args:
        journal: Where.
        resumed: What the run has.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, journal: Journal, resumed: Resumed) -> None:
        self._journal = journal
        self._resumed = resumed
        journal.start_over(resumed.starting_step)
        releases = journal.releases()
        commits = journal.commits()
        epochs = [each.epoch for each in releases] + [each.epoch for each in commits]
        self.epoch = 1 + max(epochs, default=0)
        self._before: dict[tuple[int, int], list[Release]] = {}
        for each in releases:
            self._before.setdefault((each.request, each.part), []).append(each)
        self._committed: dict[int, Committed] = {}
        for row in commits:
            self._committed.setdefault(row.epoch, Committed()).add(row)
        self.release = 0
        """The number of the last release."""
        self._marks: list[Release] = []
        self._open_parts: dict[int, int] = {}
        self._last: dict[int, tuple[int, int | None]] = {}
        self._waiting: deque[int] = deque()
        self._rows: deque[Commit] = deque()
        self._safe = Committed()
        self._safe_step = -1
        """The `_step` of the last row that is safe."""

    @property
    def starting_step(self) -> int:
        """The first `_step` that the run does not have."""
        return self._resumed.starting_step

    @property
    def committed(self) -> None:
        """Not known: steps below `starting_step` are late."""

    def total(self, key: str) -> Any:
        """What a running total has come to; None: W&B knows."""
        value = self._resumed.values.get(key)
        return value if isinstance(value, (int, float)) else None

    def has(self, request: int, part: int, step: int | None) -> bool:
        """Whether a row that the run has holds a sample of a request, from before the restart."""
        nothing = Committed()
        return any(
            self._committed.get(each.epoch, nothing).has(each.release, step, each.newest)
            for each in self._before.get((request, part), ())
        )

    def taken(self, request: int, parts: int) -> None:
        """A request was taken in: so many of its parts are to be released."""
        self._waiting.append(request)
        self._open_parts[request] = parts
        self._last[request] = (0, None)

    def released(self, parts: Sequence[tuple[int, int]], newest: int | None) -> int:
        """Parts of requests (request, part) are about to be handed to the pipeline. Gives their release.

        Args:
            parts: Which.
            newest: The newest step of all once they are in.
        """
        self.release += 1
        for request, part in parts:
            self._marks.append(Release(request, part, self.epoch, self.release, newest))
            self._open_parts[request] -= 1
            self._last[request] = (self.release, newest)
        return self.release

    def note(self, rows: Sequence[tuple[Row, int | None]], since: int | None = None) -> None:
        """Rows are about to be written; those that were noted from `since` on have got other numbers.

        Raises:
            sqlite3.Error: they cannot be noted, and so must not be written.
        """
        commits = [
            Commit(step, self.epoch, row.step, row.late, row.through)
            for row, step in rows
            if step is not None
        ]
        self._journal.note(self._marks, commits, since=None if since is None else (self.epoch, since))
        while since is not None and self._rows and self._rows[-1].wandb_step >= since:
            self._rows.pop()
        self._marks.clear()
        self._rows.extend(commits)
        while len(self._rows) > SAFE_ROWS:
            self._safe.add(row := self._rows.popleft())
            self._safe_step = row.wandb_step
        if self._journal.bytes > self._journal.max_bytes // _KEPT_SHARE:
            self._prune(self._safe, self._safe_step)

    def make_room(self) -> None:
        """The journal is full: forget what is written, though W&B may still lose it."""
        self.note(())
        everything = Committed(self._rows)
        if everything.step is None:
            everything = self._safe
        if self._prune(everything, self._rows[-1].wandb_step if self._rows else self._safe_step):
            _logger.warning(
                "journal %s: it is full, so requests are forgotten whose rows were written only just now; "
                "raise max_journal_bytes",
                self._journal.path,
            )

    def _prune(self, committed: Committed, through: int) -> bool:
        done: list[int] = []
        while self._waiting and self._is_done(self._waiting[0], committed):
            request = self._waiting.popleft()
            done.append(request)
            del self._open_parts[request], self._last[request]
        if done:
            self._journal.prune(done, self.epoch, through)
        return bool(done)

    def _is_done(self, request: int, committed: Committed) -> bool:
        if self._open_parts[request]:
            return False
        release, newest = self._last[request]
        return not release or committed.has(release, newest, newest)


def recall(journal: Journal, exporter: WandbMetricExporter) -> JournalMemory:
    """What a journal knows of the run that an exporter writes, and the journal made this run's.

    Raises:
        ValueError: there is no run, it numbers its rows itself, or the journal holds another run's.
    """
    run = exporter.run
    if run is None:
        raise ValueError("a journal belongs to a run: call wandb.init before the receiver is started")
    if exporter.options.journal:
        raise ValueError(
            "a run has one journal: OtlpReceiver(journal=…), or the option journal (OTEL_WANDB_JOURNAL) of "
            "what writes the run; not both"
        )
    if is_shared(run):
        raise ValueError('a journal needs rows with numbers, which runs in mode="shared" do not take')
    name = getattr(run, "id", None)
    before = journal.fact(RUN)
    if before != name:
        if before is not None and not journal.fact(CLEAN):
            raise ValueError(
                f"journal {journal.path} holds what is not yet in run {before!r}, and this is {name!r}; "
                f"go on with wandb.init(id={before!r}, resume='allow'), or use another file"
            )
        journal.clear()
    earlier = journal.files()
    has = resumed(run, earlier, exporter.options.step_metric)
    forgotten = journal.fact(FORGOTTEN)
    if isinstance(forgotten, int) and has.starting_step <= forgotten:
        _logger.warning(
            "journal %s: the run lacks rows from %d to %d (`_step`), and not all of what was in them is kept "
            "any more: W&B was too far behind. Its own files have it (wandb sync --id, with another id): %s",
            *(journal.path, has.starting_step, forgotten, ", ".join(earlier) or "of the run before"),
        )
    journal.write_down(RUN, name)
    journal.write_down(CLEAN, False)
    file = file_of(run)
    if file is not None and file not in earlier:
        journal.write_down(FILES, [*earlier, file])
    return JournalMemory(journal, has)


def unfinished_run(path: str | Path) -> str | None:
    """The id of the run that a journal holds more for; None: none. It is made where there is none.

    Raises:
        ValueError: the journal cannot be used.
    """
    journal = Journal(path, 1)
    try:
        run = journal.fact(RUN)
        return run if isinstance(run, str) and not journal.fact(CLEAN) else None
    finally:
        journal.close()
