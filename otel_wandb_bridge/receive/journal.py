"""What was acknowledged, on disk, until its rows are safe."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..journal.file import JournalFile, Kind

_SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (id INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS parts (
    request INTEGER NOT NULL, part INTEGER NOT NULL, epoch INTEGER NOT NULL,
    release INTEGER NOT NULL, newest INTEGER,
    PRIMARY KEY (request, part, epoch)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS commits (
    wandb_step INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, step INTEGER, late INTEGER NOT NULL,
    through INTEGER NOT NULL
);
"""
_KIND = Kind(number=0, version=1, schema=_SCHEMA, user="one receiver")

FORGOTTEN = "forgotten"
"""The fact up to which `_step` rows have been forgotten."""
ROWS_KEPT = 100_000
"""Rows that are remembered of one process, however safe they are."""


class Release(NamedTuple):
    """Which part of which request was handed to the pipeline when."""

    request: int
    part: int
    epoch: int
    """The how-manieth process that uses the journal."""
    release: int
    """The how-manieth release of this process."""
    newest: int | None
    """The newest step known then, which samples without a step ride on."""


class Commit(NamedTuple):
    """A row, as it was about to be written."""

    wandb_step: int
    epoch: int
    step: int | None
    late: bool
    through: int
    """The last release that was handed to the pipeline before."""


class Journal(JournalFile):
    """Requests from their acknowledgement until their rows are safe, and what became of them.

    Args:
        path: The file; it is made where there is none. One receiver uses it at a time.
        max_bytes: How many bytes of requests it holds at most.

    Raises:
        ValueError: the file is in use, or no journal.

    Thread-safety: safe from any thread.
    """

    def __init__(self, path: str | Path, max_bytes: int) -> None:
        super().__init__(path, _KIND)
        self.max_bytes = max_bytes
        self.bytes: int = self._one("SELECT COALESCE(SUM(LENGTH(body)), 0) FROM requests")
        """How many bytes of requests it holds."""

    def append(self, body: bytes) -> int:
        """Keep a request; when this returns, it is durable. Returns its number, which only rises.

        Raises:
            JournalFull: the bound is reached.
            sqlite3.Error, OSError: it cannot be written.
        """
        with self._lock:
            if self.bytes + len(body) > self.max_bytes and self.bytes:
                raise JournalFull
            with self._connection:
                cursor = self._connection.execute("INSERT INTO requests (body) VALUES (?)", (body,))
            self.bytes += len(body)
            assert cursor.lastrowid is not None
            return cursor.lastrowid

    def note(
        self, releases: Iterable[Release], commits: Iterable[Commit], since: tuple[int, int] | None = None
    ) -> None:
        """Note what was handed to the pipeline, and the rows that are about to be written, all or nothing.

        Rows that were noted in this epoch from this `_step` on (`since`) were not written, and are forgotten.
        """
        with self._lock, self._connection as connection:
            if since is not None:
                connection.execute("DELETE FROM commits WHERE epoch = ? AND wandb_step >= ?", since)
            connection.executemany("REPLACE INTO parts VALUES (?, ?, ?, ?, ?)", releases)
            connection.executemany("REPLACE INTO commits VALUES (?, ?, ?, ?, ?)", commits)

    def prune(self, requests: Sequence[int], epoch: int, through: int = -1) -> None:
        """Forget requests whose rows are safe, and the rows that nobody needs any more in this epoch.

        What is in rows up to the `_step` `through` is not all here from now on.
        """
        with self._lock, self._connection as connection:
            if through >= 0:
                connection.execute("REPLACE INTO facts VALUES (?, ?)", (FORGOTTEN, str(through)))
            ids = [(request,) for request in requests]
            sizes = [
                connection.execute("SELECT LENGTH(body) FROM requests WHERE id = ?", each).fetchone()
                for each in ids
            ]
            connection.executemany("DELETE FROM requests WHERE id = ?", ids)
            connection.executemany("DELETE FROM parts WHERE request = ?", ids)
            connection.execute(
                "DELETE FROM commits WHERE wandb_step < (SELECT wandb_step FROM commits WHERE epoch = ? "
                "ORDER BY wandb_step DESC LIMIT 1 OFFSET ?) AND epoch = ?",
                (epoch, ROWS_KEPT, epoch),
            )
            connection.execute(
                "DELETE FROM commits WHERE epoch < ? AND epoch NOT IN (SELECT epoch FROM parts)", (epoch,)
            )
        self.bytes -= sum(size[0] for size in sizes if size is not None)

    def start_over(self, wandb_step: int) -> None:
        """Forget the rows from a `_step` on: the run does not have them."""
        with self._lock, self._connection as connection:
            connection.execute("DELETE FROM commits WHERE wandb_step >= ?", (wandb_step,))

    def clear(self) -> None:
        """Forget everything: it is another run's."""
        with self._lock, self._connection as connection:
            for table in ("facts", "requests", "parts", "commits"):
                connection.execute(f"DELETE FROM {table}")
            self.bytes = 0

    def requests(self) -> Iterator[tuple[int, bytes]]:
        """What it holds, in the order in which it was acknowledged."""
        last = -1
        while True:
            with self._lock:
                row = self._connection.execute(
                    "SELECT id, body FROM requests WHERE id > ? ORDER BY id LIMIT 1", (last,)
                ).fetchone()
            if row is None:
                return
            yield row
            last = row[0]

    def releases(self) -> list[Release]:
        """All that was handed to the pipeline."""
        with self._lock:
            return [Release(*row) for row in self._connection.execute("SELECT * FROM parts")]

    def commits(self) -> list[Commit]:
        """The rows, in the order of their `_step`."""
        with self._lock:
            rows = self._connection.execute("SELECT * FROM commits ORDER BY wandb_step").fetchall()
        return [Commit(*row) for row in rows]

    def _one(self, query: str) -> int:
        value: int = self._connection.execute(query).fetchone()[0]
        return value


class JournalFull(Exception):
    """The bound is reached: senders are to come again later."""
