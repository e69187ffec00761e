"""Somebody's calls of `log` that go to W&B by themselves: no value of theirs joins a row of ours."""

from collections.abc import Callable, Mapping
from typing import Any

from ..runtime.uninterrupted import stays
from .run import Run
from .traffic import Traffic, foresee, is_left_open, log_marked


@stays  # it holds the lock that a flush needs
def log_whole(
    run: Run,
    log: Callable[..., Any],
    values: Mapping[str, Any],
    step: int | None,
    commit: bool | None,
    step_metric: str,
) -> Any:
    """Log somebody's values to W&B itself, so that it drops none of them.

    Below W&B's own count of steps, they are a row of their own with the next free number. The step is on the
    axis, too.

    Raises:
        Exception: what `log` raises.
    """
    traffic = foresee(run)
    # A copy, so that nobody else's call is taken for this one.
    values = dict(values) if step is None else {step_metric: step, **values}
    with traffic.alone():
        free = traffic.free_step(run)
        if step is not None and (step < free or traffic.is_joined):
            # Past the row in the making, if there is one: what is in that must not be overwritten.
            step, commit = None if traffic.is_joined else free + 1, True
        logged = _log_theirs(traffic, log, values, step, commit)
        traffic.moved(step, commit)
        return logged


@stays  # it holds the lock that a flush needs
def log_as_it_is(
    run: Run, log: Callable[..., Any], values: Mapping[str, Any], step: int | None, commit: bool | None
) -> Any:
    """Log somebody's values to W&B itself, as they came.

    Raises:
        Exception: what `log` raises.
    """
    traffic = foresee(run)
    with traffic.lock:
        return _log_theirs(traffic, log, dict(values), step, commit)


def _log_theirs(
    traffic: Traffic, log: Callable[..., Any], values: dict[str, Any], step: int | None, commit: bool | None
) -> Any:
    logged = log_marked(log, values, step, commit, is_own=False)
    # A call that has waited goes by the way that there was when it came, where nobody may have counted.
    traffic.add(leaves_open=is_left_open(step, commit))
    return logged


@stays  # it holds the lock that a flush needs
def learn_step(run: Run) -> None:
    """Have W&B's own count of steps known, before the run is about to finish."""
    traffic = foresee(run)
    with traffic.lock:
        traffic.free_step(run)
