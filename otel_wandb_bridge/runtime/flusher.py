"""A thread that flushes before the interval is over: when a buffer fills up, or a hold ends."""

import logging
import queue
import threading
import time
from collections.abc import Callable

_logger = logging.getLogger("otel_wandb_bridge")


_LONGEST_WAIT = 3_600.0
_LOOK = 0.05
_LOOKS = 100
"""So often it looks, one `_LOOK` (seconds) after the other, before it has to be woken again."""


class Flusher:
    """Calls `flush` when woken, and at the deadline it was told.

    `wake` is called from recording threads, signal handlers and finalizers, so it goes through a
    `queue.SimpleQueue`, whose `put` is reentrant (Python documentation), and does nothing while a call is
    on its way.

    To wake a thread costs the one that does it more than all that it records meanwhile, and its processor,
    too, if the system thinks that best. So `wake_soon` leaves a mark where this thread is about to look by
    itself, which it does for some seconds after its start and after each flush.

    Args:
        flush: Must not raise; what it does raise is logged.

    Thread-safety: safe from any thread. The thread is a daemon, and is started on first need.
    """

    def __init__(self, flush: Callable[[], None]) -> None:
        self._flush = flush
        self._stopped = False
        self._awake = False
        self._is_due = False
        self._is_looking = False
        self._period: float | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._calls: queue.SimpleQueue[float | None] = queue.SimpleQueue()

    def start(self) -> None:
        """Start the thread, unless it runs already."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None and not self._stopped:
                thread = threading.Thread(
                    target=self._run, args=(self._calls,), name="otel-wandb-flusher", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:  # at the exit of the interpreter (Python 3.12 on), which flushes, too
                    return
                self._thread = thread

    def wake(self) -> None:
        """Have a flush started soon."""
        if not self._awake:
            self._awake = True
            self._calls.put(0.0)

    def wake_soon(self) -> None:
        """Have a flush started within a twentieth of a second."""
        self._is_due = True
        if not self._is_looking:
            self.wake()

    def wake_after(self, delay: float) -> None:
        """Have a flush started in `delay` seconds at the latest."""
        self.start()
        self._calls.put(time.monotonic() + max(delay, 0.0))

    def repeat(self, seconds: float) -> None:
        """Have a flush started every so many seconds from now on."""
        self._period = seconds
        self.wake_after(seconds)

    @property
    def is_periodic(self) -> bool:
        """Whether it flushes every so many seconds, for want of somebody else who would."""
        return self._period is not None

    def stop(self) -> None:
        """End the thread; a flush under way is not waited for."""
        self._stopped = True
        self._calls.put(None)

    def after_fork(self) -> None:
        """In a forked child: the thread is gone, and its lock and queue may be held by nobody."""
        self._awake = self._is_due = self._is_looking = False
        self._lock = threading.Lock()
        self._thread = None
        self._calls = queue.SimpleQueue()

    def _run(self, calls: "queue.SimpleQueue[float | None]") -> None:
        deadline: float | None = None
        looks = _LOOKS
        while True:
            timeout = None if deadline is None else min(max(0.0, deadline - time.monotonic()), _LONGEST_WAIT)
            self._is_looking = looks > 0
            if looks > 0 or self._is_due:  # in this order: whoever marks it due looks whether we are looking
                timeout = 0.0 if self._is_due else _LOOK if timeout is None else min(timeout, _LOOK)
            try:
                call = calls.get(timeout=timeout)
            except queue.Empty:
                if not self._is_due and (deadline is None or time.monotonic() < deadline):
                    looks -= looks > 0
                    continue
                call = 0.0
            if call is None:
                return
            if call > 0.0:
                deadline = call if deadline is None else min(deadline, call)
                continue
            looks = _LOOKS if self._is_due else looks
            deadline = None if self._period is None else time.monotonic() + self._period
            self._awake = self._is_due = False
            try:
                self._flush()
            except Exception:
                _logger.exception("could not flush early")
