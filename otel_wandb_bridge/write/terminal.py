"""What people see in the terminal, beside what W&B says there."""

import logging
import os

import wandb

from .run import Run

_logger = logging.getLogger("otel_wandb_bridge")


def tell(run: Run | None, text: str, *, is_loss: bool) -> None:
    """Print a line as W&B does (`WANDB_SILENT` and `silent=True` keep it quiet), and log it. Never raises.

    Args:
        run: The run that it is about.
        text: The line.
        is_loss: A warning, and no mere remark.
    """
    _logger.info(text)
    silent = os.environ.get("WANDB_SILENT", "").lower() in ("true", "1", "yes", "on")  # W&B may not be set up
    try:
        if not silent and not getattr(getattr(run, "settings", None), "silent", False):
            (wandb.termwarn if is_loss else wandb.termlog)(text)
    except Exception:
        _logger.log(logging.WARNING if is_loss else logging.INFO, text)
