"""A count that forked processes share, with a lock that a process cannot take to its grave."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO

try:
    import fcntl
except ImportError:  # a platform without fork: there is nobody to share with
    fcntl = None  # type: ignore[assignment]

_has_forked = False


class SharedCount:
    """Shared by the process that made it and those forked from it.

    It stands in an unlinked file, whose record lock the kernel takes from a process that ends (POSIX,
    `fcntl`, "F_SETLK"). Before the first fork there is nobody to share with, and it costs nothing.

    Thread-safety: between processes; the threads of one need a lock of their own around it.
    """

    def __init__(self) -> None:
        self.is_child = False
        self._depth = 0
        self._file: FileIO | None
        try:
            self._file = tempfile.TemporaryFile(buffering=0) if fcntl is not None else None  # noqa: SIM115
        except OSError:
            self._file = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the other processes out. Reentrant."""
        if self._file is None or not _has_forked:
            yield
            return
        if self._depth == 0:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def after_fork(self) -> None:
        """In the forked child: whoever held it, it was another process."""
        self.is_child = True
        self._depth = 0

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


def _note_fork() -> None:
    global _has_forked
    _has_forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_parent=_note_fork, after_in_child=_note_fork)
