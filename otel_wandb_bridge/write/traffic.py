"""Who else writes to a run while we do.

W&B drops a row whose step another writer of the run has used up in the meantime, without an error. So our
own look at the run's step and the row that follows must not be parted by a foreign row. All of W&B's ways to
write history end in `Run._log` (`wandb.log`, `run.log`, bound methods saved before, `wandb.watch`); it is
private, and there is no public place that they all pass (`tests/write/test_traffic.py` fails by name should
it go). It is wrapped on the class: what other threads log waits for one row of ours at most.
"""

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .hooks import around
from .run import Run
from .shared_count import SharedCount

_traffic: "weakref.WeakKeyDictionary[Run, Traffic]" = weakref.WeakKeyDictionary()
_writing: set[int] = set()


class Traffic:
    """The log calls of one run, in this process and in those forked from it.

    Thread-safety: safe from any thread.
    """

    def __init__(self, run: Run) -> None:
        self.lock = threading.RLock()
        self._calls = 0
        self._elsewhere = SharedCount()
        self._is_ours = False
        self._kind = type(run)
        self._take_off: Callable[[], None] | None = None

    @property
    def foreign_calls(self) -> int:
        """Log calls that were not ours. In a forked child, which does not know the parent's, always more."""
        self._calls += self._elsewhere.is_child
        return self._calls + self._elsewhere.value

    @contextmanager
    def ours(self) -> Iterator[None]:
        """Keep others from writing; what is logged inside is our own."""
        with self.lock, self._elsewhere.held():
            before, self._is_ours = self._is_ours, True
            thread = threading.get_ident()
            is_outermost = thread not in _writing
            _writing.add(thread)
            try:
                yield
            finally:
                self._is_ours = before
                if is_outermost:
                    _writing.discard(thread)
                self._elsewhere.add()

    @contextmanager
    def theirs(self) -> Iterator[None]:
        """Around a call that has come: it is foreign, unless we are writing."""
        with self.lock:
            if self._is_ours:
                yield
                return
            self._calls += 1
            with self._elsewhere.held():
                yield
                self._elsewhere.add()

    def open(self) -> None:
        """Watch the calls from now on."""
        if self._take_off is None and hasattr(self._kind, "_log"):
            self._take_off = around(self._kind, "_log", _count_and_log)

    def close(self) -> None:
        """Watch them no longer: nobody here minds them any more."""
        if self._take_off is not None:
            self._take_off()
            self._take_off = None

    def after_fork(self) -> None:
        """In a forked child: a thread that is not there any more may have held the lock."""
        self.lock = threading.RLock()
        self._is_ours = False
        self._elsewhere.after_fork()


def traffic_of(run: Run) -> Traffic:
    """The traffic of a run, which is watched from now on."""
    traffic = _traffic.get(run)
    if traffic is None:
        traffic = _traffic[run] = Traffic(run)
    traffic.open()
    return traffic


def is_writing() -> bool:
    """Whether this very thread is inside a `Traffic.ours()`: what it logs is ours."""
    return bool(_writing) and threading.get_ident() in _writing


def _count_and_log(call: Callable[..., Any], run: Any, *args: Any, **kwargs: Any) -> Any:
    traffic = _traffic.get(run)
    if traffic is None:
        return call(run, *args, **kwargs)
    with traffic.theirs():
        return call(run, *args, **kwargs)


def _after_fork() -> None:
    _writing.clear()
    for traffic in list(_traffic.values()):
        traffic.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
