"""The tail of a run, on disk: rows that W&B may not have stored yet, and what waits to become rows."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .file import CLEAN, RUN, JournalFile, Kind

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (wandb_step INTEGER PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS restored (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
"""
_KIND = Kind(number=0x7461696C, version=1, schema=_SCHEMA, user="one process")

WAITING = "waiting"
"""The fact what waits in the reconciler, as JSON of samples."""
STATE = "state"
"""The fact how far the rows have come: see `State`."""


class State(NamedTuple):
    """How far the rows that were noted have come.

    Attributes:
        committed: The highest step of a row that was not late.
        totals: Key to running total.
        forgotten: The highest `_step` that was noted once and is not any more; -1: none.
    """

    committed: int | None = None
    totals: dict[str, Any] = {}
    forgotten: int = -1


class TailFile(JournalFile):
    """Rows by their `_step`, rows of a process before that are to be written again, and what waits.

    Args:
        path: As of `JournalFile`.

    Raises:
        ValueError: as of `JournalFile`.

    Thread-safety: safe from any thread.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path, _KIND)

    def begin(self, facts: dict[str, object], restored: Sequence[str]) -> None:
        """Write facts down, and the rows that are to be written again; all others are forgotten."""
        with self._lock, self._connection as connection:
            connection.executemany(
                "REPLACE INTO facts VALUES (?, ?)",
                [(name, json.dumps(value)) for name, value in facts.items()],
            )
            connection.execute("DELETE FROM rows")
            connection.execute("DELETE FROM restored")
            connection.executemany("INSERT INTO restored VALUES (?, ?)", enumerate(restored))

    def note(
        self,
        rows: Sequence[tuple[int, str]],
        waiting: str,
        state: str,
        *,
        since: int | None,
        restored: int | None,
        safe: int | None,
    ) -> None:
        """Note rows that are about to be written, and what waits besides them, all or nothing.

        Args:
            rows: Each with its `_step`, rising.
            waiting: What waits, as JSON.
            state: How far the rows have come with these, as JSON of a `State`.
            since: Rows that were noted from this `_step` on are forgotten: they have got other numbers; None:
                none are.
            restored: Rows to be written again up to this one are among `rows`; None: none are.
            safe: Rows up to this `_step` are stored for sure, and forgotten; None: none are.
        """
        with self._lock, self._connection as connection:
            if since is not None:
                connection.execute("DELETE FROM rows WHERE wandb_step >= ?", (since,))
            if rows:
                connection.executemany("INSERT INTO rows VALUES (?, ?)", rows)
            if restored is not None:
                connection.execute("DELETE FROM restored WHERE id <= ?", (restored,))
            if safe is not None:
                connection.execute("DELETE FROM rows WHERE wandb_step <= ?", (safe,))
            facts = [(WAITING, waiting), (STATE, state)]
            connection.executemany("REPLACE INTO facts VALUES (?, ?)", facts)

    def rows(self) -> list[tuple[int, str]]:
        """The rows that were noted, by rising `_step`."""
        with self._lock:
            return list(self._connection.execute("SELECT * FROM rows ORDER BY wandb_step"))

    def restored(self) -> list[str]:
        """The rows that were to be written again and were not noted since, in their order."""
        with self._lock:
            found: Iterable[tuple[str]] = self._connection.execute("SELECT body FROM restored ORDER BY id")
            return [body for (body,) in found]

    def waiting(self) -> str:
        """What waits, as JSON."""
        with self._lock:
            found = self._connection.execute("SELECT value FROM facts WHERE name = ?", (WAITING,)).fetchone()
        return "[]" if found is None else str(found[0])

    def state(self) -> State:
        """How far the rows have come."""
        state: Any = self.fact(STATE)
        return State() if state is None else State(*state)

    def has_any(self) -> bool:
        """Whether anything is in it that a run may not have."""
        return bool(self.rows() or self.restored() or self.waiting() != "[]")


def unfinished_run(path: str | Path) -> str | None:
    """The id of the run that a journal, which is there, may hold more for; None: none.

    Raises:
        JournalError: it cannot be used.
    """
    file = TailFile(path)
    try:
        run = file.fact(RUN)
        return run if isinstance(run, str) and not file.fact(CLEAN) and file.has_any() else None
    finally:
        file.close()
