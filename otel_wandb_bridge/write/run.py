"""What the bridge asks of a W&B run: public names only."""

import os
import queue
import re
import threading
import time
import weakref
from types import ModuleType
from typing import Any, Protocol

import wandb

INTERRUPTED = 255
"""The exit code by which W&B marks a run whose program was interrupted (Ctrl-C) as killed."""

WANDB_THREAD = "wandb-AsyncioManager-main"
"""The name of W&B's own thread (from wandb 0.22.1 on; `tests/write/test_trip.py` fails should it change)."""

_COUNTS_HERE = tuple(map(int, re.findall(r"\d+", wandb.__version__)[:2])) < (0, 28)
_asking: set[int] = set()
_modes: "weakref.WeakKeyDictionary[Run, str]" = weakref.WeakKeyDictionary()


class Run(Protocol):
    """The part of `wandb.Run` that the writer uses. `testing.FakeRun` is another one."""

    @property
    def config(self) -> Any:
        """The run's config: has `get` and `update`, as `wandb.Run.config`."""

    @property
    def summary(self) -> Any:
        """The run's summary: has `get` and `update`, as `wandb.Run.summary`."""

    def log(self, data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        """Write values, as `wandb.Run.log`."""

    def define_metric(
        self,
        name: str,
        *,
        step_metric: str | None = None,
        step_sync: bool | None = None,
        hidden: bool | None = None,
        summary: str | None = None,
    ) -> Any:
        """Define the axis of a key, as `wandb.Run.define_metric`."""

    def finish(self, exit_code: int | None = None) -> None:
        """End the run, as `wandb.Run.finish`."""


def check(run: object) -> None:
    """See to it that it is a run, or as good as one.

    Raises:
        TypeError: it is not.
    """
    if isinstance(run, ModuleType):
        raise TypeError(f"run must be what wandb.init returns, or None to follow it; got the module {run!r}")
    methods = ("log", "define_metric", "finish")
    if isinstance(run, type) or not all(callable(getattr(run, name, None)) for name in methods):
        raise TypeError(f"run must be what wandb.init returns, or None to follow it; got {run!r}")


def active_run() -> Run | None:
    """The run of `wandb.init` that is active now."""
    return wandb.run


def is_shared(run: Run) -> bool:
    """Whether W&B numbers rows itself and takes no `step=`: `mode="shared"`, and TensorBoard sync."""
    mode = _modes.get(run)
    if mode is None:
        # W&B copies all settings each time that they are asked for. A run keeps its mode.
        mode = _modes[run] = str(getattr(getattr(run, "settings", None), "mode", None))
    return mode == "shared" or bool(wandb.patched["tensorboard"])


def is_disabled(run: Run) -> bool:
    """Whether the run is in `mode="disabled"`: it takes everything and keeps nothing."""
    return bool(getattr(run, "disabled", False))


def is_of_another_process(run: Run) -> bool:
    """Whether the run was made in another process: this one was forked from it, or was sent the run.

    The only mark of it is private (`tests/write/test_run.py` fails by name should it go).
    """
    return bool(getattr(run, "_init_pid", os.getpid()) != os.getpid())


def refuses_rows(error: Exception) -> bool:
    """Whether W&B says with this error that the run is finished."""
    return isinstance(error, wandb.errors.UsageError)


def next_step(run: Run) -> int:
    """The first `_step` that W&B would still take.

    After a resume `run.step` answers 0 until the first row (wandb 0.28 and later), so the step at which the
    run started counts too. A shared run numbers its rows itself, and raises when it is asked: 0.
    """
    if is_shared(run):
        return 0
    thread = threading.get_ident()
    _asking.add(thread)
    try:
        starting: int = getattr(run, "starting_step", 0) or 0
        current: int = getattr(run, "step", 0) or 0
    finally:
        _asking.discard(thread)
    return max(starting, current)


def settled_step(run: Run) -> int:
    """As `next_step`, of a run to which several threads may have logged without us.

    Before wandb 0.28, `run.step` is a count of this process, which misses some then. Its service does not.
    """
    step = next_step(run)
    return max(step, _after_summary(run)) if _COUNTS_HERE and not is_shared(run) else step


def has_read_until(run: Run, step: int, timeout: float = 5.0) -> bool:
    """Wait until W&B has read all rows below a `_step`, whichever process has sent them.

    Its service says so, for a run that goes on; for one that has finished, it may never answer.

    Args:
        timeout: Seconds to wait at most.

    Returns:
        Whether it has.
    """
    answer: queue.SimpleQueue[bool] = queue.SimpleQueue()
    deadline = time.monotonic() + timeout

    def ask() -> None:
        try:
            while _first_unread(run) < step and time.monotonic() < deadline:
                time.sleep(0.002)
            answer.put(time.monotonic() < deadline)
        except Exception:
            answer.put(False)

    try:
        threading.Thread(target=ask, name="otel-wandb-look", daemon=True).start()
    except RuntimeError:  # the interpreter is about to end
        ask()
    try:
        return answer.get(timeout=timeout)
    except queue.Empty:
        return False


def _first_unread(run: Run) -> int:
    """The first `_step` of which W&B's service has read no row."""
    # Whatever is asked of a run in a forked child connects it anew; the summary alone does not.
    current, start = next_step(run), getattr(run, "starting_step", 0) or 0
    if current > start:
        return current
    # Before wandb 0.28, `run.step` is the process's own count.
    return max(start, _after_summary(run))


def _after_summary(run: Run) -> int:
    latest = run.summary.get("_step")
    return latest + 1 if isinstance(latest, int) else 0


def is_within_wandb() -> bool:
    """Whether this is the thread in which W&B talks to its service: it waits for nobody.

    The garbage collector may run a finalizer there that logs. W&B refuses the call (`ValueError`); whoever
    holds a lock of ours may be waiting for this very thread.
    """
    return threading.current_thread().name == WANDB_THREAD


def is_asking() -> bool:
    """Whether it is the bridge itself that asks a run for its step."""
    return threading.get_ident() in _asking
