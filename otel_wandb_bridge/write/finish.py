"""To be told before a run finishes, while it still takes rows.

W&B has no public hook for this. `Run.finish` and `Run.__exit__` are looked up too early to be wrapped: a
`with` statement fetches `__exit__` when it is entered, before a bridge can be made for its run. Both end in
`Run._finish`, which is looked up when it is called; it is private, and the only such name here
(`tests/write/test_finish.py` fails by name should it go). It is wrapped on the class, so that runs that are
not known yet are told too. An implicit exit goes through none of them: see `exit`.
"""

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import wandb
from wandb import wandb_run

from ..runtime.exit import before_handlers_of_now
from .hooks import Around, around
from .run import Run
from .service_log import last_look
from .traffic import has_finished

_logger = logging.getLogger("otel_wandb_bridge")
_lock = threading.RLock()  # reentrant: an exporter may be collected, and taken off, at any moment
_kinds: set[type] = {wandb_run.Run}
_callbacks: list[Callable[[Run | None], None]] = []
_onlookers: list[Callable[[Run | None], None]] = []
_hooks: dict[tuple[Any, str], Callable[[], None]] = {}
_is_service_known = False


def before_finish(
    callback: Callable[[Run | None], None], *, first: bool = False, only_looks: bool = False
) -> Callable[[], None]:
    """Have `callback` called with each run that is about to finish (None: all of them, a teardown).

    Args:
        callback: What to call.
        first: Before those that are there already.
        only_looks: It changes nothing, and is called before all others, those to come as well.

    It runs in the thread that finishes the run. What it raises is logged, and never reaches that thread.

    Returns:
        A function that takes the callback off again. With the last one, W&B is as it was before.
    """
    with _lock:
        told = _onlookers if only_looks else _callbacks
        told.insert(0 if first else len(told), callback)
        for kind in _kinds:
            _watch(kind)
        _wrap(wandb, "teardown", _tell_of_all)
        _wrap(wandb, "init", _call_and_register)

    def take_off() -> None:
        with _lock:
            if callback in told:
                told.remove(callback)
            if not (_callbacks or _onlookers):
                while _hooks:
                    _hooks.popitem()[1]()

    return take_off


def after_init(callback: Callable[[Run], object]) -> Callable[[], None]:
    """Have `callback` called with the run of each `wandb.init`. Returns what takes it off again."""

    def init_and_call(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        run = call(*args, **kwargs)
        callback(run)
        return run

    return around(wandb, "init", init_and_call)


def watch(run: Run) -> None:
    """Make sure that the finish of this run is told, whatever class it is of."""
    with _lock:
        _kinds.add(type(run))
        if _callbacks or _onlookers:
            _watch(type(run))


def _watch(kind: type) -> None:
    if hasattr(kind, "_finish"):
        _wrap(kind, "_finish", _tell_of_run)
    definer = next((each for each in kind.__mro__ if "finish" in vars(each)), wandb_run.Run)
    if definer is not wandb_run.Run:  # a disabled run's, or a test double's, own
        _wrap(definer, "finish", _tell_of_run)


def _wrap(owner: Any, name: str, wrap: Around) -> None:
    if (owner, name) not in _hooks:
        _hooks[owner, name] = around(owner, name, wrap)


def _tell_of_run(call: Callable[..., Any], run: Run, *args: Any, **kwargs: Any) -> Any:
    _tell(run)
    finished = call(run, *args, **kwargs)
    has_finished(run)
    last_look(run)
    return finished


def _tell_of_all(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    _tell(None)
    torn_down = call(*args, **kwargs)
    last_look()
    return torn_down


def _call_and_register(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    run = call(*args, **kwargs)
    come_before_wandb()
    return run


def come_before_wandb() -> None:
    """After a `wandb.init`: have what later exit handlers record flushed before W&B's own, which may be new.

    Also where no exporter is there yet: a handler that is registered while handlers run is never called.
    """
    global _is_service_known
    if not _is_service_known:
        _is_service_known = True
        before_handlers_of_now()


def _tell(run: Run | None) -> None:
    global _is_service_known
    if run is None:
        _is_service_known = False
    for callback in (*_onlookers, *_callbacks):
        _call(callback, run)


def _call(callback: Callable[[Run | None], None], run: Run | None) -> None:
    try:
        callback(run)
    except Exception:
        _logger.exception("could not flush before the run finished")


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()  # a thread that is not there any more may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
