"""A count that forked processes share, with a lock that a process cannot take to its grave."""

import os
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO

try:
    import fcntl
except ImportError:  # a platform without fork: there is nobody to share with
    fcntl = None  # type: ignore[assignment]

_has_forked = False
_counts: "weakref.WeakSet[SharedCount]" = weakref.WeakSet()


class SharedCount:
    """Shared by the process that made it and those forked from it.

    It stands in an unlinked file, whose record lock the kernel takes from a process that ends (POSIX,
    `fcntl`, "F_SETLK"). Before the first fork there is nobody to share with, and it costs nothing.

    Thread-safety: between processes; the threads of one need a lock of their own around it.
    """

    def __init__(self) -> None:
        self.is_child = False
        self.is_shared = _has_forked
        """Whether there may be other processes that look at it."""
        self._depth = 0
        self._is_locked = False
        self._file: FileIO | None
        try:
            self._file = tempfile.TemporaryFile(buffering=0) if fcntl is not None else None  # noqa: SIM115
        except OSError:
            self._file = None
        _counts.add(self)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the other processes out. Reentrant."""
        self._depth += 1
        try:
            if self._depth == 1 and _has_forked:
                self.lock()
            yield
        finally:
            self._depth -= 1
            self.unlock_if_left()

    def lock(self) -> None:
        """Take the lock, where it is held: from now on there may be somebody to keep out."""
        if self._file is not None and self._depth > 0 and not self._is_locked:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            self._is_locked = True

    def unlock_if_left(self) -> None:
        """Give the lock back, where it is not held any more: its block may have ended while it was taken."""
        if self._depth == 0 and self._is_locked and self._file is not None:
            self._is_locked = False
            fcntl.lockf(self._file, fcntl.LOCK_UN)

    def leave(self, number: int) -> None:
        """Leave a number, of at least 0, to the other processes; hold it meanwhile."""
        if _has_forked and self._file is not None:
            os.pwrite(self._file.fileno(), (number + 1).to_bytes(8, "little"), 8)

    @property
    def left(self) -> int | None:
        """The number that was left last; None where there was none since the first fork."""
        raw = b"" if self._file is None else os.pread(self._file.fileno(), 8, 8)
        return int.from_bytes(raw, "little") - 1 if any(raw) else None

    def after_fork(self) -> None:
        """In the forked child: whoever held it, it was another process."""
        self.is_child = True
        self._depth = 0
        self._is_locked = False

    @property
    def value(self) -> int:
        """What forked children have counted."""
        if self._file is None or not _has_forked:
            return 0
        return int.from_bytes(os.pread(self._file.fileno(), 8, 0), "little")

    def add(self) -> None:
        """Count one, where this process is a forked child; hold it meanwhile."""
        if self.is_child and self._file is not None:
            os.pwrite(self._file.fileno(), (self.value + 1).to_bytes(8, "little"), 0)


def _before_fork() -> None:
    global _has_forked
    _has_forked = True
    for count in tuple(_counts):
        count.is_shared = True
        count.lock()


def _after_fork_in_parent() -> None:
    for count in tuple(_counts):
        count.unlock_if_left()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent)
