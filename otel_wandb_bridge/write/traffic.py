"""Who else writes to a run while we do.

W&B drops a row whose step another writer of the run has used up in the meantime, without an error. So our
own look at the run's step and the row that follows must not be parted by a foreign row. All of W&B's ways to
write history end in `Run._log` (`wandb.log`, `run.log`, bound methods saved before, `wandb.watch`); it is
private, and there is no public place that they all pass (`tests/write/test_traffic.py` fails by name should
it go). It is wrapped on the class: what other threads log waits for one row of ours at most.
"""

import functools
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .run import Run

_traffic: "weakref.WeakKeyDictionary[Run, Traffic]" = weakref.WeakKeyDictionary()


class Traffic:
    """The log calls of one run.

    Thread-safety: safe from any thread.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.foreign_calls = 0
        """Log calls that were not ours."""
        self._is_ours = False

    @contextmanager
    def ours(self) -> Iterator[None]:
        """Keep others from writing; what is logged inside is our own."""
        with self.lock:
            before, self._is_ours = self._is_ours, True
            try:
                yield
            finally:
                self._is_ours = before

    def count(self) -> None:
        """A call has come; the lock is held."""
        self.foreign_calls += not self._is_ours


def traffic_of(run: Run) -> Traffic:
    """The traffic of a run, which is watched from now on."""
    traffic = _traffic.get(run)
    if traffic is None:
        traffic = _traffic[run] = Traffic()
        _watch(type(run))
    return traffic


def _watch(kind: Any) -> None:
    original = getattr(kind, "_log", None)
    if original is None or getattr(original, "_counts_for_otel_wandb_bridge", False):
        return

    @functools.wraps(original)
    def count_and_log(run: Any, *args: Any, **kwargs: Any) -> Any:
        traffic = _traffic.get(run)
        if traffic is None:
            return original(run, *args, **kwargs)
        with traffic.lock:
            traffic.count()
            return original(run, *args, **kwargs)

    count_and_log._counts_for_otel_wandb_bridge = True  # type: ignore[attr-defined]
    kind._log = count_and_log


def _after_fork() -> None:
    for traffic in list(_traffic.values()):
        traffic.lock = threading.RLock()  # a thread that is not there any more may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
