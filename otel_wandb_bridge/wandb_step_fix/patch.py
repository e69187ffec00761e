"""Every way into a run, caught: `wandb.log`, `run.log`, and whatever was bound to them before.

All of them end in `Run._log`, which is where they are caught (see `write.traffic` for why a private name).
What W&B checks on the way there (a finished run, an attach) it goes on checking. `Run.log` is replaced too,
for speed alone: W&B's own decorators around it cost more than all that happens here.

Patches of other people stay in force, whatever the order they come and go in: where one of theirs is below
ours on `Run.log`, each call goes through it; where one is above ours, ours stays in it when it is taken off,
and does nothing.
"""

import functools
import logging
import operator
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType, MethodType
from typing import Any

import wandb
from opentelemetry.context import get_current
from wandb import wandb_run
from wandb.proto.wandb_internal_pb2 import PartialHistoryRequest  # type: ignore[attr-defined]

from ..attributes import LARGEST_STEP
from ..record import ambient as contexts
from ..record.clock import STEP_CLOCK
from ..record.packing import OPTIONS, Packed, pack
from ..records import PLAIN
from ..write.axes import watch_definitions
from ..write.finish import after_init, come_before_wandb
from ..write.hooks import Hook, around, hook_of
from ..write.run import is_within_wandb
from ..write.traffic import FOR_WANDB, foresee, is_for_wandb
from .calls import Waiting
from .capture import captured
from .routes import ROUTES
from .run_views import show_what_waits
from .settings import Settings

logger = logging.getLogger("wandb_step_fix")

_MISSING: Any = object()
_OURS = ("otel_wandb_bridge.", "wandb.")
_WANDB = str(Path(wandb.__file__).parent)

# `importlib.reload` runs this again over the same names, while W&B goes on calling what is patched in.
_lock = threading.RLock()
_take_off: list[Callable[[], None]] = globals().get("_take_off", [])
_settings: Settings | None = globals().get("_settings")


def patch(settings: Settings) -> None:
    """Catch all calls from now on, with these settings for the runs to come."""
    global _settings
    with _lock:
        _settings = settings
        if _take_off:
            return
        _take_off.append(around(wandb_run.Run, "_log", _catch, outermost=True))
        _take_off.append(watch_definitions())
        _take_off.append(_replace_log(hook_of(wandb_run.Run, "_log")))
        _take_off.extend(show_what_waits())
        _take_off.append(after_init(_expect))
        if wandb.run is not None:
            _expect(wandb.run)
        ROUTES.is_patched = True
    logger.debug("wandb.log is patched")


def unpatch() -> None:
    """Catch no calls any longer, and write all that was caught."""
    with _lock:
        if not _take_off:
            return
        ROUTES.is_patched = False
        ROUTES.close(_put_back)
    logger.debug("wandb.log is as it was")


def _expect(run: Any) -> None:
    foresee(run)
    come_before_wandb()


def _put_back() -> None:
    global _settings
    while _take_off:
        _take_off.pop()()
    _settings = None


def is_patched() -> bool:
    """Whether calls are caught."""
    return bool(_take_off)


def _are_plain(values: Mapping[str, Any]) -> bool:
    try:
        return PLAIN.issuperset({*map(type, values.values())})
    except TypeError:  # a type that cannot be hashed
        return False


def _replace_log(catching: Hook) -> Callable[[], None]:
    kind: Any = wandb_run.Run
    module: Any = wandb
    original = kind.log
    by_run, clock, for_wandb, packed, options = ROUTES.by_run, STEP_CLOCK, FOR_WANDB, pack, OPTIONS
    catcher = catching.wrapper
    getframe, thread, now, context = sys._getframe, threading.get_ident, time.time, get_current

    @functools.wraps(original)
    def log(
        self: Any, data: Any = _MISSING, step: Any = None, commit: Any = None, *args: Any, **more: Any
    ) -> Any:
        if for_wandb and is_for_wandb(data):
            return original(self, data, step=step, commit=commit)
        route = by_run.get(self)
        # In one piece: this runs in training threads, where a call costs as much as all the rest.
        if (
            route is not None
            and type(data) is dict
            and (step is None or (type(step) is int and step <= LARGEST_STEP))
            and (commit is None or commit is True or commit is False)
            and not (args or more)
            # Else somebody has wrapped `_log`, and wants to see each call.
            and (kind._log is catcher or catching.is_on_top())
        ):
            try:
                values: Packed | dict[str, Any] | None = packed(data, None, options)
            except TypeError:
                values = None
            if values is None:  # out here, lest W&B's errors be shown as the outcome of that one
                values = _taken(self, data, step)
            if values is not None:
                frame = getframe(1)
                code, variables = frame.f_code, frame.f_globals
                entry: tuple[Any, ...] = (route.calls, now(), values, step, commit, code, variables, thread())
                # With a step, the context can say no more than who reports.
                if step is None or contexts.names_are_said:
                    entry += context(), clock.state
                lane = route.lane
                if len(lane.queue) < lane.room:
                    lane.queue.append(entry)
                else:
                    lane.put(entry)
                if route.is_closed:
                    ROUTES.rescue(route)
                return None
        if not (args or more) and ROUTES.is_ending(self):
            usable, number = _usable(data, step)
            if usable and _is_commit(commit):
                waiting = _waiting(data, number, None if commit is None else bool(commit))
                logged = ROUTES.write(self, waiting, functools.partial(original, self))
                # W&B looks whether the run has finished before it takes a call: one that is under way then
                # may come too late without a word. It raises for the next, which has nothing in it.
                ROUTES.write(self, _waiting({}, None, False), functools.partial(original, self))
                return logged
        # As it came, as far as it can be told: W&B is to judge it.
        if args:
            return original(self, data, step, commit, *args, **more)
        given = () if data is _MISSING else (data,)
        if step is not None:
            more["step"] = step
        if commit is not None:
            more["commit"] = commit
        return original(self, *given, **more)

    if not _is_of_wandb(original):  # somebody else's patch wants to see each call
        return lambda: None
    kind.log = log
    # `wandb.log` is a method that was bound when its run was made.
    bound = module.log if _is_bound(module.log, original) else None
    if bound is not None:
        module.log = MethodType(log, bound.__self__)

    def put_back() -> None:
        if kind.log is log:
            kind.log = original
        if _is_bound(module.log, log):
            run = module.log.__self__
            is_same = bound is not None and bound.__self__ is run
            module.log = bound if is_same else MethodType(original, run)

    return put_back


def _is_bound(method: Any, function: Any) -> bool:
    return isinstance(method, MethodType) and method.__func__ is function


def _is_of_wandb(function: Any) -> bool:
    return str(getattr(getattr(function, "__code__", None), "co_filename", "")).startswith(_WANDB)


def _taken(run: Any, data: dict[Any, Any], step: int | None) -> dict[str, Any] | None:
    """A copy that nobody can change; None where W&B would not take its keys."""
    values = data.copy()
    return _unchanging(run, values, step) if _has_text_keys(values) else None


def _unchanging(run: Any, values: dict[str, Any], step: int | None) -> dict[str, Any]:
    return values if _are_plain(values) else captured(run, values, step)


def _has_text_keys(data: Mapping[Any, Any]) -> bool:
    try:
        "".join(data).encode()  # a lone surrogate is no text for W&B
    except (TypeError, UnicodeEncodeError):
        return False
    return True


def _catch(
    call: Callable[..., Any],
    run: Any,
    data: Any = _MISSING,
    step: Any = None,
    commit: Any = None,
    **more: Any,
) -> Any:
    settings = _settings
    if not more and not is_for_wandb(data) and not is_within_wandb():
        usable, number = _usable(data, step)
        if usable and _is_commit(commit):
            waiting = _waiting(data, number, None if commit is None else bool(commit))
            if settings is not None:
                taken = _unchanging(run, dict(data), step)
                if ROUTES.put(run, waiting._replace(values=taken), settings):
                    return None
            return ROUTES.write(run, waiting, functools.partial(call, run))
    given = () if data is _MISSING else (data,)
    return call(run, *given, step=step, commit=commit, **more)


def _waiting(data: Any, step: int | None, commit: bool | None) -> Waiting:
    frame = _caller(sys._getframe(2))
    made_by = frame.f_code, frame.f_globals, threading.get_ident()
    return Waiting(time.time(), data, step, commit, *made_by, get_current(), STEP_CLOCK.state)


def _usable(data: Any, step: Any) -> tuple[bool, int | None]:
    """Whether W&B would take the call; what it would not, it is to refuse in its own words."""
    if not isinstance(data, Mapping) or not _has_text_keys(data):
        return False, None
    if step is None:
        return True, None
    try:
        number = operator.index(step)
    except TypeError:
        return False, None
    return not isinstance(step, bool) and abs(number) <= LARGEST_STEP, number


def _is_commit(commit: Any) -> bool:
    """Whether W&B takes it for one: it is a field of its protocol."""
    try:
        PartialHistoryRequest().action.flush = False if commit is None else commit
    except Exception:
        return False
    return True


def _caller(frame: FrameType) -> FrameType:
    """The frame that is neither ours nor W&B's."""
    back: FrameType | None = frame
    while back is not None and str(back.f_globals.get("__name__", "")).startswith(_OURS):
        frame, back = back, back.f_back
    return frame if back is None else back


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
