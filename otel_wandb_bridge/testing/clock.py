"""A clock that stands still until it is told to move."""

from __future__ import annotations

import threading


class FakeClock:
    """A monotonic clock for tests: called, it answers the time in seconds.

    It can take the place of ``time.monotonic``. Thread-safe.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._lock = threading.Lock()
        self._now = float(start)  # Guarded by _lock

    def __call__(self) -> float:
        """Return the time, in seconds."""
        with self._lock:
            return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock on by ``seconds``.

        Raises:
            ValueError: ``seconds`` is negative or not a number; the clock stays where it is.
        """
        if not seconds >= 0:
            raise ValueError(f"a clock cannot advance by {seconds!r} seconds; expected 0 or more")
        with self._lock:
            self._now += seconds
