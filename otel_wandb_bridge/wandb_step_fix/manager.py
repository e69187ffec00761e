"""The step manager: steps are announced to it, values logged through it, counts asked of it."""

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from opentelemetry.context import get_current

from ..plural import count_of
from ..record import set_step
from ..record.ambient import text_of, usable_step
from ..record.clock import STEP_CLOCK
from ..record.log_calls import NO_KEY
from ..record.snapshot import taken
from ..stats import Stats
from ..write import active_run, is_of_another_process
from ..write.finish import after_init
from .calls import Waiting, logger
from .routes import ROUTES
from .settings import Settings

MOST_EARLY = 100_000


class WandBStepManager:
    """Merges what many components log into one row for each training step.

    All managers of a process share one pipeline for each run; a pipeline keeps the settings of the manager
    that was first to log to its run.

    Args:
        buffer_size: From this many waiting calls on, they are flushed before the interval is over.
        flush_interval: Seconds between flushes.
        options: Those of `WandbMetricExporter` (`step_metric`, `step_keys`, `late`, `hold`, ...).

    Raises:
        TypeError, ValueError: naming the option, what came and what is expected.

    Thread-safety: safe from any thread.
    """

    def __init__(self, buffer_size: int = 100, flush_interval: float = 2.0, **options: Any) -> None:
        self.settings = Settings(buffer_size, flush_interval, options)

    def update_step(self, step: int, source: str = "trainer") -> None:
        """Say that `source` has come to a step, which is the ambient one from now on (see `set_step`).

        Rows below it no longer wait for that source. Never raises: what is no step is logged once.
        """
        number = usable_step("update_training_step", step)
        if number is None:
            return
        set_step(number, source=source)
        _send(self.settings, _Announcement(time.time(), {}, text_of(source) or "trainer", number))

    def log(
        self,
        data: Mapping[str, Any],
        step: int | None = None,
        source: str | None = "default",
        priority: int | None = 5,
        commit: bool | None = None,
    ) -> None:
        """Log to the active run, as `wandb.log` does when it is patched, with a source and a priority.

        What comes before `wandb.init` waits for it. Never raises: what cannot be used is counted in
        `get_stats()["rejected"]` and logged once.
        """
        try:
            values: dict[Any, Any] = {key: taken(value) for key, value in data.items()}
        except Exception:
            values = {NO_KEY: type(data).__name__}
        now, ambient, source = time.time(), get_current(), text_of(source)
        _send(
            self.settings,
            Waiting(
                now, values, taken(step), commit, None, None, 0, ambient, STEP_CLOCK.state, source, priority
            ),
        )

    def get_stats(self) -> dict[str, int]:
        """Counts of all that was logged in this process so far, through whichever manager.

        `total_logs` is in calls. `dropped_logs` is in values that will not be in W&B: shed, rejected, or
        dropped by policy. `step_conflicts` is how often a source went back, left steps out, or said the same
        key or step twice. `successful_flushes` is in flushes. The rest are the counts of `Stats`.
        """
        counts = ROUTES.counts()
        early = [len(call.values) for _, call in tuple(_early) if isinstance(call, Waiting)]
        counts["total_logs"] += len(early)
        counts.update(recorded=sum(early), pending=sum(early))
        conflicts = ("step_regressions", "step_jumps", "duplicate_steps")
        return {
            "total_logs": counts["total_logs"],
            "dropped_logs": counts["dropped"] + counts["rejected"] + counts["shed"],
            "step_conflicts": sum(counts[name] for name in conflicts),
            "successful_flushes": counts["successful_flushes"],
            **{field.name: counts[field.name] for field in fields(Stats) if field.type is int},
        }

    def flush(self, timeout: float = 30.0) -> bool:
        """Write everything that waits. Returns whether all of it is written, within `timeout` seconds."""
        _send_early()
        return ROUTES.flush(timeout) and not _early


class _Announcement(NamedTuple):
    time: float
    values: dict[str, Any]
    source: str
    step: int


_early: deque[tuple[Settings, Waiting | _Announcement]] = deque(maxlen=MOST_EARLY)
_end_of_waiting: list[Callable[[], None]] = []
_lock = threading.RLock()


def _send(settings: Settings, call: Waiting | _Announcement) -> None:
    run = active_run()
    if run is None:
        with _lock:
            _early.append((settings, call))
            if not _end_of_waiting:
                _end_of_waiting.append(after_init(lambda run: _send_early()))
                atexit.register(_say_what_is_left)
        return
    _send_early()
    _send_to(run, settings, call)


def _send_early() -> None:
    """What was said before there was a run."""
    run = active_run()
    while run is not None and _early:
        try:
            settings, call = _early.popleft()
        except IndexError:  # another thread was quicker
            break
        _send_to(run, settings, call)
    with _lock:
        while _end_of_waiting and not _early:
            _end_of_waiting.pop()()


def _say_what_is_left() -> None:
    atexit.unregister(_say_what_is_left)
    left = sum(len(call.values) for _, call in _early)
    if left:
        lost = count_of(left, "value is lost", "values are lost")
        logger.warning("there was no run (no wandb.init): %s", lost)


def _send_to(run: Any, settings: Settings, call: Waiting | _Announcement) -> None:
    try:
        if isinstance(call, Waiting):
            if not ROUTES.put(run, call, settings):
                ROUTES.write(run, call)
        elif not is_of_another_process(run):
            route = ROUTES.route(run, settings)
            if route is not None:
                route.lane.put((route.announcements, *call))
    except Exception:
        logger.exception("safe_wandb_log: W&B failed")


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()
    _early.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
