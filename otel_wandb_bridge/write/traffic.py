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
from .run import Run, has_read_until, is_disabled, is_shared, is_within_wandb, settled_step
from .shared_count import SharedCount

_traffic: "weakref.WeakKeyDictionary[Run, Traffic]" = weakref.WeakKeyDictionary()
FOR_WANDB: dict[int, tuple[Any, bool]] = {}
"""By thread, the values that are on their way to W&B, and whether they are our own (else `log_whole`'s)."""
_theirs: set[int] = set()
"""Threads that are in the middle of a foreign call."""
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
        self.ours_until = 0
        """The first `_step` past all rows that were written by us, or with our help."""
        self._sealed_until = 0
        self._logged = 0
        self._known: tuple[int, int] | None = None
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

    def join(self, run: Run) -> bool:
        """In a forked child, before its first row: make known that there will be some.

        The rows that its parent has sent until then have steps, and W&B would drop those that it reads after
        the child's first one. From now on the parent gives none, so nobody waits for us meanwhile.

        Returns:
            Whether W&B has read them.
        """
        with self.alone():
            self._elsewhere.add()
            left = self._elsewhere.left
        until = self._sealed_until if left is None else left
        if not self._elsewhere.is_child or until == 0 or is_shared(run) or is_disabled(run):
            return True
        has_read = has_read_until(run, until)
        if has_read:
            with self.alone():
                self._elsewhere.leave(0)  # those that come later need not wait
        return has_read

    def is_read(self) -> None:
        """The run has finished, and so W&B has read all of it."""
        with self.alone():
            self._sealed_until = 0
            self._elsewhere.leave(0)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others from writing, in this process and in those forked from it."""
        with self.lock, self._elsewhere.held():
            yield

    @contextmanager
    def ours(self) -> Iterator[None]:
        """Keep others from writing. What is logged inside with `log_own` is our own."""
        with self.lock, self._elsewhere.held():  # as `alone`, for each row
            try:
                yield
            finally:
                self._logged += 1
                if self._elsewhere.is_shared:
                    self._elsewhere.add()
                    self._leave()

    def wrote(self, until: int) -> None:
        """Rows of ours have gone to W&B, with all steps below one that is written from now on.

        A lower one than before takes back what W&B has not got.
        """
        self.ours_until = self._sealed_until = until

    def _leave(self) -> None:
        if not (self._elsewhere.is_child or self.is_joined):
            self._elsewhere.leave(self._sealed_until)

    def log_own(self, log: Callable[..., None], values: Any, step: int | None, commit: bool) -> None:
        """Log; what is logged with these very values is our own.

        Not all that this thread logs: a signal handler or a finalizer may run in the middle of it.
        """
        log_marked(log, values, step, commit, is_own=True)

    @contextmanager
    def theirs(self, *, leaves_open: bool) -> Iterator[None]:
        """Around a foreign call that has come."""
        thread = threading.get_ident()
        is_first = thread not in _theirs
        with self.lock:
            self._calls += 1
            self._logged += 1
            with self._elsewhere.held():
                _theirs.add(thread)
                try:
                    yield
                finally:
                    if is_first:
                        _theirs.discard(thread)
                self._elsewhere.add()
            self.may_be_open = leaves_open  # not where W&B has refused the call

    def add(self, *, leaves_open: bool) -> None:
        """Count a foreign call that was made with the lock held, by a way that may be from before `open`."""
        self._calls += 1
        self._logged += 1
        self.may_be_open = leaves_open

    def free_step(self, run: Run) -> int:
        """The first `_step` that W&B would still take, which is asked only where somebody may have moved it.

        A run that is about to finish may be long in answering. Call it with the lock held.
        """
        if is_shared(run):  # it numbers its rows itself
            return 0
        if self._known is None or self._known[0] != self._logged:
            try:
                self._known = self._logged, settled_step(run)
            except Exception:  # it has finished, and is to say so itself
                self._known = None
                return 0
        return self._known[1]

    def moved(self, step: int | None, commit: bool | None) -> None:
        """W&B has taken a call, after `free_step` and with the lock still held."""
        if self._known is not None:
            step, is_over = (self._known[1], commit is not False) if step is None else (step, bool(commit))
            self._known = self._logged, step + is_over
            self.ours_until = step + is_over
            if is_over:
                self._sealed_until = step + 1
                self._leave()

    def open(self) -> None:
        """Watch the calls from now on."""
        if self._take_off is None and hasattr(self._kind, "_log"):
            self._take_off = around(self._kind, "_log", _count_and_log)
            self.may_be_open = None
            self._known = None

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
    traffic = foresee(run)
    traffic.open()
    return traffic


def foresee(run: Run) -> Traffic:
    """The traffic of a run, watched or not: have what processes share of it before there is a fork."""
    with _lock:
        if run not in _traffic:
            _traffic[run] = Traffic(run)
        return _traffic[run]


@stays  # it holds the lock that a flush needs
def has_finished(run: Run) -> None:
    """W&B has finished the run: it has read all of it."""
    traffic = _traffic.get(run)
    if traffic is not None:
        traffic.is_read()


def log_marked(
    log: Callable[..., Any], values: Any, step: int | None, commit: bool | None, *, is_own: bool
) -> Any:
    """Log, with the values marked in this thread meanwhile."""
    thread = threading.get_ident()
    before = FOR_WANDB.get(thread)
    FOR_WANDB[thread] = (values, is_own)
    try:
        return log(values, step=step, commit=commit)
    finally:
        if before is None:
            FOR_WANDB.pop(thread, None)
        else:
            FOR_WANDB[thread] = before


def is_own(values: Any) -> bool:
    """Whether a call with these very values is our own."""
    return is_for_wandb(values) and FOR_WANDB[threading.get_ident()][1]


def is_for_wandb(values: Any) -> bool:
    """Whether a call with these very values is our own, or one that `log_whole` gives to W&B."""
    marked = FOR_WANDB.get(threading.get_ident())
    return marked is not None and marked[0] is values


def is_within_theirs() -> bool:
    """Whether this thread is in the middle of a call that is not our own."""
    thread = threading.get_ident()
    return thread in _theirs or FOR_WANDB.get(thread, (None, True))[1] is False


@stays  # it holds the lock that a flush needs
def _count_and_log(
    call: Callable[..., Any], run: Any, data: Any, step: Any = None, commit: Any = None, **more: Any
) -> Any:
    if is_own(data):  # within `ours`
        return call(run, data, step=step, commit=commit, **more)
    traffic = _traffic.get(run)
    if traffic is None or is_within_wandb():
        return call(run, data, step=step, commit=commit, **more)
    with traffic.theirs(leaves_open=is_left_open(step, commit)):
        return call(run, data, step=step, commit=commit, **more)


def is_left_open(step: Any, commit: Any) -> bool:
    """Whether W&B leaves a row in the making after a call with these."""
    return not commit and (step is not None or commit is not None)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # a thread that is not there any more may have held it
    FOR_WANDB.clear()
    _theirs.clear()
    for traffic in list(_traffic.values()):
        traffic.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
