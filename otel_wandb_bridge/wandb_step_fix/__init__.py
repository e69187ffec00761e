"""Existing code that calls `wandb.log`, fixed by one line.

    from otel_wandb_bridge.wandb_step_fix import patch_wandb_log

    patch_wandb_log()

From then on every call of `wandb.log` and `run.log` in this process, whoever makes it, goes through the
bridge: values are merged by training step, and rows are written in rising order. With the environment
variable `WANDB_STEP_FIX_ENABLED=true` no line is needed at all.

`logging.getLogger("wandb_step_fix").setLevel(logging.DEBUG)` shows every decision about steps.
"""

from collections.abc import Mapping
from typing import Any

from .calls import logger
from .environment import options_in_environment
from .log import show_where_nobody_listens
from .manager import WandBStepManager
from .patch import patch, unpatch

__all__ = [
    "DEBUG",
    "DEFAULT",
    "EVALUATION",
    "TRAINER",
    "WandBStepManager",
    "finalize_wandb_logging",
    "get_step_manager",
    "patch_wandb_log",
    "safe_wandb_log",
    "unpatch_wandb_log",
    "update_training_step",
]

TRAINER, EVALUATION, DEFAULT, DEBUG = 0, 1, 5, 10
"""Priorities: of two values of one key at one step, that of the smaller number stands."""

# A reload of this module forgets nothing.
_manager: WandBStepManager | None = globals().get("_manager")
_options: dict[str, Any] = globals().get("_options", {})

show_where_nobody_listens()


def patch_wandb_log(**options: Any) -> None:
    """Have every call of `wandb.log` and `run.log` go through the bridge from now on.

    All ways into a run are caught, also those that were taken before (`from wandb import log`, a bound method
    that was saved): for runs that exist and runs to come. The calls keep their signature, their return value
    and the errors of W&B. Calling it again changes nothing but the options that
    it names, for the runs to come.

    Best called before `wandb.init`: axes that were defined with `define_metric` before are not known.

    Args:
        options: An argument goes before the environment. `buffer_size` (100), the number of waiting calls
            that starts an early flush; `flush_interval` (2.0), seconds; and those of `WandbMetricExporter`:
            `step_metric`, `step_keys`,
            `late`, `hold`, `disorder`, `max_pending`, `max_step_jump` (here 1,000,000,000), `priorities`,
            `gating`, `expected_sources`, `journal`.

    Raises:
        TypeError, ValueError: naming the option, what came and what is expected.

    Thread-safety: safe from any thread.
    """
    global _manager
    if options or _manager is None:
        _manager = WandBStepManager(**{**options_in_environment(), **_options, **options})
        _options.update(options)
    patch(_manager.settings)


def unpatch_wandb_log() -> None:
    """Have W&B as it was before `patch_wandb_log`, and write what waits. Harmless where nothing is patched.

    Thread-safety: safe from any thread.
    """
    unpatch()


def get_step_manager() -> WandBStepManager:
    """The manager of this process; it is made where there is none."""
    global _manager
    if _manager is None:
        try:
            _manager = WandBStepManager(**options_in_environment())
        except (TypeError, ValueError) as error:
            logger.error("%s; the defaults are used", error)
            _manager = WandBStepManager()
    return _manager


def update_training_step(step: int, source: str = "trainer") -> None:
    """Say that `source` has come to `step`: calls without a step of their own belong to it from now on.

    Never raises: what is no step is logged once.
    """
    get_step_manager().update_step(step, source=source)


def safe_wandb_log(
    data: Mapping[str, Any],
    step: int | None = None,
    source: str = "default",
    priority: int = 5,
    commit: bool | None = None,
) -> None:
    """Log values to the active run, with or without the patch; before `wandb.init` they wait for it.

    Args:
        data: Values by key: all that `wandb.log` takes.
        step: The training step; by default the ambient one.
        source: The component that reports.
        priority: 0 (trainer), 1 (evaluation), 5 (default) ... 10 (debug).
        commit: As of `wandb.log`: False keeps the values for the next call without a step.

    Never raises: what cannot be used is counted in `get_step_manager().get_stats()` and logged once.
    """
    get_step_manager().log(data, step=step, source=source, priority=priority, commit=commit)


def finalize_wandb_logging() -> bool:
    """Write everything that waits, for `atexit` or the end of a script. Logging may go on afterwards.

    Returns:
        Whether all of it is written.
    """
    return get_step_manager().flush()
