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

from ..runtime.uninterrupted import stays
from .hooks import around
from .run import Run
from .shared_count import SharedCount

_traffic: "weakref.WeakKeyDictionary[Run, Traffic]" = weakref.WeakKeyDictionary()
_own: dict[int, Any] = {}
"""By thread, the values that are being written."""
_lock = threading.Lock()


class Traffic:
    """The log calls of one run, in this process and in those forked from it.

    Thread-safety: safe from any thread.
    """

    def __init__(self, run: Run) -> None:
        self.lock = threading.RLock()
        self._calls = 0
        self._elsewhere = SharedCount()
        self.may_be_open: bool | None = None
        """Whether a foreign call has left a row in the making, which a row of ours with its step would join;
        None: nobody knows, for there may have been calls before."""
        self._kind = type(run)
        self._take_off: Callable[[], None] | None = None

    @property
    def foreign_calls(self) -> int:
        """Log calls that were not ours. In a forked child, which does not know the parent's, always more."""
        self._calls += self._elsewhere.is_child
        return self._calls + self._elsewhere.value

    @property
    def is_joined(self) -> bool:
        """Whether a forked child writes to the run, too.

        What two processes send to W&B's service may overtake each other there, locks or not. So neither says
        a step any more: W&B takes every row that has none.
        """
        return self._elsewhere.value > 0

    def join(self) -> None:
        """In a forked child, before its first row: make known that there will be some."""
        with self.lock, self._elsewhere.held():
            self._elsewhere.add()

    @contextmanager
    def ours(self) -> Iterator[None]:
        """Keep others from writing. What is logged inside with `log_own` is our own."""
        with self.lock, self._elsewhere.held():
            try:
                yield
            finally:
                self._elsewhere.add()

    def log_own(self, log: Callable[..., None], values: Any, step: int | None, commit: bool) -> None:
        """Log; what is logged with these very values is our own.

        Not all that this thread logs: a signal handler or a finalizer may run in the middle of it.
        """
        thread = threading.get_ident()
        before = _own.get(thread)
        _own[thread] = values
        try:
            log(values, step=step, commit=commit)
        finally:
            if before is None:
                _own.pop(thread, None)
            else:
                _own[thread] = before

    @contextmanager
    def theirs(self, *, leaves_open: bool) -> Iterator[None]:
        """Around a foreign call that has come."""
        with self.lock:
            self._calls += 1
            with self._elsewhere.held():
                yield
                self._elsewhere.add()
            self.may_be_open = leaves_open  # not where W&B has refused the call

    def open(self) -> None:
        """Watch the calls from now on."""
        if self._take_off is None and hasattr(self._kind, "_log"):
            self._take_off = around(self._kind, "_log", _count_and_log)
            self.may_be_open = None

    def close(self) -> None:
        """Watch them no longer: nobody here minds them any more."""
        if self._take_off is not None:
            self._take_off()
            self._take_off = None

    def after_fork(self) -> None:
        """In a forked child: a thread that is not there any more may have held the lock."""
        self.lock = threading.RLock()
        self._elsewhere.after_fork()


def traffic_of(run: Run) -> Traffic:
    """The traffic of a run, which is watched from now on."""
    foresee(run)
    traffic = _traffic[run]
    traffic.open()
    return traffic


def foresee(run: Run) -> None:
    """Have what processes share of the run's traffic, before there is a fork."""
    with _lock:
        if run not in _traffic:
            _traffic[run] = Traffic(run)


def is_own(values: Any) -> bool:
    """Whether a call with these very values is our own."""
    return bool(_own) and values is not None and _own.get(threading.get_ident()) is values


@stays  # it holds the lock that a flush needs
def _count_and_log(
    call: Callable[..., Any], run: Any, data: Any, step: Any = None, commit: Any = None, **more: Any
) -> Any:
    if is_own(data):  # within `ours`
        return call(run, data, step=step, commit=commit, **more)
    traffic = _traffic.get(run)
    if traffic is None:
        return call(run, data, step=step, commit=commit, **more)
    with traffic.theirs(leaves_open=not commit and (step is not None or commit is not None)):
        return call(run, data, step=step, commit=commit, **more)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # a thread that is not there any more may have held it
    _own.clear()
    for traffic in list(_traffic.values()):
        traffic.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
