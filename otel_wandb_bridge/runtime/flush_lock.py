"""The lock around every flush, which knows who holds it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class FlushLock:
    """One flush at a time. Reentrant, for a signal handler may interrupt the very thread that flushes.

    Args:
        after: Called when a flush is over and the lock is free again.
        at_end: Called before that, while the lock is still held. It must not raise.

    Thread-safety: safe from any thread.
    """

    def __init__(self, after: Callable[[], None], at_end: Callable[[], None] = lambda: None) -> None:
        self._after = after
        self._at_end = at_end
        self.renew()

    def renew(self) -> None:
        """In a forked child: a thread that is not there any more may have held it."""
        self._lock = threading.RLock()
        self._holder: int | None = None

    @contextmanager
    def held(self, timeout: float = -1) -> Iterator[bool]:
        """Hold the lock.

        Args:
            timeout: Seconds to wait for it; -1: however long it takes.

        Yields:
            Whether it is held.
        """
        if not self._lock.acquire(timeout=timeout):
            yield False
            return
        before, self._holder = self._holder, threading.get_ident()
        try:
            yield True
        finally:
            if before is None:
                self._at_end()
            self._holder = before
            self._lock.release()
        if before is None:
            self._after()

    def is_held_here(self) -> bool:
        """Whether this very thread holds it: further down its stack, a flush is under way."""
        return self._holder == threading.get_ident()
