"""Calls of `log` that W&B threw away: their step was below that of a call before."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..inspection.stored_run import dropped_in
from ..plural import count_of
from .finding import TROUBLE, Finding


def look_at_dropped_calls(runs: Iterable[Any]) -> Iterator[Finding]:
    """By run: what the log of W&B's service says."""
    for run in runs:
        log = getattr(getattr(run, "settings", None), "log_internal", None)
        count = dropped_in(Path(log)) if log else None
        if count:
            calls = count_of(count, "call of log", "calls of log")
            text = f"{calls} of run {run.id}: the step was below that of a call before"
            mend = "WANDB_STEP_FIX_ENABLED=true, or patch_wandb_log() before wandb.init"
            yield Finding("thrown away", TROUBLE, text, mend)


def wait_for_service(run: Any) -> None:
    """Wait until W&B's service has looked at all calls so far: what is asked of it stands behind them."""
    with suppress(Exception):  # it is gone, or there is no summary
        list(run.summary.keys())
