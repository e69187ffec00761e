"""The flushes of the main thread run in another one, where no exception comes out of the blue.

Signal handlers run in the main thread alone (Python documentation, "signal"): what they raise
(`KeyboardInterrupt`) may come between W&B's answer and our note of it, and the row would be written twice.
So the main thread waits, and only its waiting is interrupted.
"""

import contextvars
import functools
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Answer = tuple[bool, Any]

_jobs: "queue.SimpleQueue[tuple[Callable[[], Any], queue.SimpleQueue[_Answer]]]" = queue.SimpleQueue()
_worker: threading.Thread | None = None
_staying: set[CodeType] = set()


def uninterrupted(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Have a function run to its end, whatever is raised in the main thread while that waits for it.

    Other threads, and a main thread that must stay (see `stays`), run it themselves.
    """
    _staying.add(function.__code__)

    @functools.wraps(function)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        if not _is_main() or must_stay() or not _is_worker_there():
            return function(*args, **kwargs)
        context = contextvars.copy_context()
        # Queues, and no `threading.Event`: an interrupted wait for one may leave its lock to nobody.
        answer: queue.SimpleQueue[_Answer] = queue.SimpleQueue()
        _jobs.put((functools.partial(context.run, function, *args, **kwargs), answer))
        succeeded, result = answer.get()
        if succeeded:
            return result  # type: ignore[no-any-return]
        try:
            raise result
        finally:
            del result, answer  # the error holds this frame

    return wrapper


def stays(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Mark a function that holds what a flush needs: the flushes that it comes to are not handed over.

    A signal handler may come to one in the middle of it, as may whatever it calls.
    """
    _staying.add(function.__code__)
    return function


def is_within(function: Callable[..., Any], owner: object = None) -> bool:
    """Whether this thread is in the middle of a function (of a method of `owner`): further up its stack."""
    code = function.__code__
    return any(
        frame.f_code is code and (owner is None or frame.f_locals.get("self") is owner) for frame in _frames()
    )


def must_stay() -> bool:
    """Whether this thread is in the middle of a flush, or of what holds something that a flush needs."""
    # The stack says it, and no mark that somebody sets and takes off: an interruption might come between.
    return any(frame.f_code in _staying for frame in _frames())


def is_for_main() -> bool:
    """Whether this is the main thread, or it waits for what this thread does."""
    return _is_main() or threading.current_thread() is _worker


def start() -> None:
    """Have the other thread ready: at the exit of the interpreter, none can be started (Python 3.12 on)."""
    _is_worker_there()


def _is_main() -> bool:
    return threading.get_ident() == threading.main_thread().ident


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_worker_there() -> bool:
    global _worker
    if _worker is None or not _worker.is_alive():
        worker = threading.Thread(target=_work, args=(_jobs,), name="otel-wandb-main-flush", daemon=True)
        try:
            worker.start()
        except RuntimeError:
            return False
        _worker = worker
    return True


def _work(jobs: "queue.SimpleQueue[tuple[Callable[[], Any], queue.SimpleQueue[_Answer]]]") -> None:
    while True:
        job, answer = jobs.get()
        try:
            done = True, job()
        except BaseException as error:
            done = False, error
        answer.put(done)
        del job, answer, done  # until the next job, nobody keeps an exporter alive


def _after_fork() -> None:
    global _jobs, _worker
    _jobs, _worker = queue.SimpleQueue(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
