"""What was accepted and waits to be taken in: one thread decodes it and hands it to the pipeline."""

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

_logger = logging.getLogger("otel_wandb_bridge")
_RETRY_SECONDS = 1.0

_Item = tuple[Any, int] | threading.Event | bool | None
"""A request and its size; an event to be set; True to settle; None to end."""


class Intake:
    """Takes requests in, one after the other, in the order in which they were accepted.

    Args:
        take: Takes in one request. What it raises is logged.
        settle: Hands on what has waited long enough (told True: all of it); called after each request and
            when it is time. Gives the seconds until then; None: nothing waits.
        bound: How many bytes of requests wait at most.

    Thread-safety: safe from any thread.
    """

    def __init__(
        self, take: Callable[[Any], None], settle: Callable[[bool], float | None], bound: int
    ) -> None:
        self._take = take
        self._settle = settle
        self._bound = bound
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._requests = 0
        self._thread = threading.Thread(target=self._run, name="otel-wandb-receive", daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """How many bytes of requests wait."""
        return self._waiting

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return self._requests

    def reserve(self, size: int) -> bool:
        """Claim room for a request before it is accepted. False where there is none: it is to come again."""
        with self._lock:
            if self._requests and self._waiting + size > self._bound:
                return False
            self._waiting += size
            self._requests += 1
            return True

    def release(self, size: int) -> None:
        """Give room back."""
        with self._lock:
            self._waiting -= size
            self._requests -= 1

    def put(self, request: Any, size: int) -> None:
        """Hand a request in, for which room was claimed."""
        self._queue.put((request, size))

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until all that was handed in by now has been taken in. False: the timeout came first."""
        if threading.current_thread() is self._thread or not self._thread.is_alive():
            return True
        done = threading.Event()
        self._queue.put(done)
        return done.wait(timeout)

    def nudge(self) -> None:
        """Have it settle soon."""
        self._queue.put(True)

    def stop(self) -> None:
        """Take in what waits, and end the thread."""
        self._queue.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        patience: float | None = None
        while True:
            each: _Item
            try:
                each = self._queue.get(timeout=patience)
            except queue.Empty:
                patience = self._settled(False)
                continue
            if each is None:
                self._settled(True)
                return
            if isinstance(each, threading.Event):
                patience = self._settled(True)
                each.set()
                continue
            if isinstance(each, bool):
                patience = self._settled(False)
                continue
            request, size = each
            try:
                self._take(request)
            except Exception:
                _logger.exception("a request that was accepted could not be taken in")
            finally:
                self.release(size)
            if self._queue.empty() or patience is None:
                patience = self._settled(False)

    def _settled(self, everything: bool) -> float | None:
        try:
            return self._settle(everything)
        except Exception:
            _logger.exception("what was accepted could not be handed on; it is tried again")
            return _RETRY_SECONDS
