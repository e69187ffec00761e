"""A file that survives the end of the process, whatever that is.

SQLite, in its write-ahead mode: in the standard library, one file, whole after a SIGKILL at any moment
(sqlite.org, "Write-Ahead Logging"), and it deletes as cheaply as it appends, which a plain log does not.
"""

import contextlib
import ctypes
import json
import sqlite3
import threading
from pathlib import Path
from typing import NamedTuple

CLEAN = "clean"
"""The fact that everything was written when the journal was closed."""
RUN = "run"
"""The fact whose the journal is: the id of a run."""
FILES = "files"
"""The fact which `.wandb` files of the run were written so far."""

_FACTS = "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"


class Kind(NamedTuple):
    """What a journal holds.

    Attributes:
        number: Marks its files, so that none is taken for another's (`PRAGMA application_id`).
        version: Of its tables (`PRAGMA user_version`).
        schema: SQL that makes its tables where they are missing.
        user: Who uses it, for messages.
    """

    number: int
    version: int
    schema: str
    user: str


class JournalError(ValueError):
    """The file cannot be used."""


class NotAJournal(JournalError):
    """The file is corrupt, of another kind, or of a later version of this package."""


class JournalBusy(JournalError):
    """Another process uses the file."""


class DiskFull(JournalError):
    """There is no room for it."""


class JournalFile:
    """One connection to the file of a journal, with the facts that are written down in it.

    Args:
        path: The file; it is made where there is none, with its directory. One process uses it at a time.
        kind: What it holds.

    Raises:
        NotAJournal: it is none of this kind.
        JournalBusy: it is in use.
        DiskFull: there is no room for it.
        JournalError: it cannot be opened; the text says why.

    Thread-safety: safe from any thread, by `_lock`.
    """

    def __init__(self, path: str | Path, kind: Kind) -> None:
        self.path = Path(path)
        self._kind = kind
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JournalError(f"journal {self.path} cannot be used: {error}") from error
        self._connection = self._open()

    def fact(self, name: str) -> object:
        """What is written down under a name; None where nothing is."""
        with self._lock:
            row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def write_down(self, name: str, value: object) -> None:
        """Write a fact down, any JSON."""
        with self._lock, self._connection as connection:
            connection.execute("REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))

    def files(self) -> list[str]:
        """The `.wandb` files of the run that were written so far."""
        files = self.fact(FILES)
        return [str(file) for file in files] if isinstance(files, list) else []

    def abandon(self) -> None:
        """In a forked child: it is the parent's file. To close it here would take the parent's log away."""
        self._lock = threading.Lock()
        # SQLite closes with the last reference, at the end of the interpreter at the latest: one never goes.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def delete(self) -> None:
        """Let go of the file, and delete it.

        Raises:
            OSError: it cannot be deleted.
        """
        self.let_go()
        for part in parts_of(self.path):
            part.unlink(missing_ok=True)

    def let_go(self) -> None:
        """Let go of the file, whatever state it is in."""
        with contextlib.suppress(sqlite3.Error):  # a full disk
            self.close()

    def _open(self) -> sqlite3.Connection:
        # One connection, guarded by our own lock; transactions are said, not guessed from statements.
        try:
            connection = sqlite3.connect(self.path, timeout=0.5, check_same_thread=False)
        except sqlite3.Error as error:
            raise self._refusal(error) from None
        kind = self._kind
        try:
            # The second process on one file gets an error at its start, and not a run written twice.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            # What is committed survives the process; a power failure may take the last of it.
            connection.execute("PRAGMA synchronous = NORMAL")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            number = connection.execute("PRAGMA application_id").fetchone()[0]
            if version > kind.version:
                raise NotAJournal(f"journal {self.path}: it was written by a later version of this package")
            if (version or number) and number != kind.number:
                raise NotAJournal(f"journal {self.path}: it is not the journal of {kind.user}")
            if version < kind.version:
                connection.executescript(_FACTS + kind.schema)
                connection.execute(f"PRAGMA application_id = {kind.number}")
                connection.execute(f"PRAGMA user_version = {kind.version}")
                connection.commit()
        except (sqlite3.Error, NotAJournal) as error:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
            if isinstance(error, NotAJournal):
                raise
            raise self._refusal(error) from None
        return connection

    def _refusal(self, error: sqlite3.Error) -> JournalError:
        text = f"journal {self.path} cannot be used: {error}"
        if self.path.is_dir():
            return JournalError(
                f"journal {self.path} cannot be used: it is a directory; give the name of a file in it"
            )
        if "locked" in str(error):
            return JournalBusy(f"{text}; a journal belongs to {self._kind.user} at a time: give each its own")
        if "full" in str(error):
            return DiskFull(text)
        if isinstance(error, sqlite3.OperationalError):  # the directory
            return JournalError(text)
        return NotAJournal(text)


def set_aside(path: Path, name: str) -> Path:
    """Give a journal that nobody uses another name beside its own. Returns the new one.

    Raises:
        OSError: it cannot be renamed.
    """
    plain = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
    aside, number = path.with_name(f"{path.name}.{plain}"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.{plain}-{number}")
    for part, to in zip(parts_of(path), parts_of(aside), strict=True):
        if part.exists():
            part.rename(to)
    return aside


def parts_of(path: Path) -> list[Path]:
    """The files that SQLite makes of one: the database, its write-ahead log and that one's index."""
    return [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]
