"""To be told before a run finishes, while it still takes rows.

W&B has no public hook for this. `Run.finish` and `Run.__exit__` are looked up too early to be wrapped: a
`with` statement fetches `__exit__` when it is entered, before a bridge can be made for its run. Both end in
`Run._finish`, which is looked up when it is called; it is private, and the only such name here
(`tests/write/test_finish.py` fails by name should it go). It is wrapped on the class, so that runs that are
not known yet are told too. An implicit exit goes through none of them: see `exit`.
"""

import functools
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import wandb
from wandb import wandb_run

from ..exit import before_handlers_of_now
from .run import Run

_logger = logging.getLogger("otel_wandb_bridge")
_lock = threading.Lock()
_callbacks: list[Callable[[Run | None], None]] = []
_is_service_known = False


def before_finish(callback: Callable[[Run | None], None]) -> Callable[[], None]:
    """Have `callback` called with each run that is about to finish (None: all of them, a teardown).

    It runs in the thread that finishes the run. What it raises is logged, and never reaches that thread.

    Returns:
        A function that takes the callback off again.
    """
    with _lock:
        _watch(wandb_run.Run)
        _wrap(wandb, "teardown", of_run=False)
        _wrap_init()
        _callbacks.append(callback)

    def take_off() -> None:
        with _lock:
            if callback in _callbacks:
                _callbacks.remove(callback)

    return take_off


def watch(run: Run) -> None:
    """Make sure that the finish of this run is told, whatever class it is of."""
    with _lock:
        _watch(type(run))


def _watch(kind: type) -> None:
    if hasattr(kind, "_finish"):
        _wrap(kind, "_finish", of_run=True)
    if "finish" in vars(kind) and kind is not wandb_run.Run:  # a disabled run's, or a test double's, own
        _wrap(kind, "finish", of_run=True)


def _wrap(owner: Any, name: str, *, of_run: bool) -> None:
    original = getattr(owner, name)
    if getattr(original, "_tells_otel_wandb_bridge", False):
        return

    @functools.wraps(original)
    def tell_and_call(*args: Any, **kwargs: Any) -> Any:
        _tell(args[0] if of_run and args else None)
        return original(*args, **kwargs)

    tell_and_call._tells_otel_wandb_bridge = True  # type: ignore[attr-defined]
    setattr(owner, name, tell_and_call)


def _wrap_init() -> None:
    original = wandb.init
    if getattr(original, "_tells_otel_wandb_bridge", False):
        return

    @functools.wraps(original)
    def call_and_register(*args: Any, **kwargs: Any) -> Any:
        global _is_service_known
        run = original(*args, **kwargs)
        if not _is_service_known:
            # W&B's own exit handler is new. What later handlers record must be flushed before it runs.
            _is_service_known = True
            before_handlers_of_now()
        return run

    call_and_register._tells_otel_wandb_bridge = True  # type: ignore[attr-defined]
    wandb.init = call_and_register


def _tell(run: Run | None) -> None:
    global _is_service_known
    if run is None:
        _is_service_known = False
    for callback in tuple(_callbacks):
        _call(callback, run)


def _call(callback: Callable[[Run | None], None], run: Run | None) -> None:
    try:
        callback(run)
    except Exception:
        _logger.exception("could not flush before the run finished")


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # a thread that is not there any more may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
