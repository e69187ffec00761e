"""Last stage: rows to a W&B run. The only stage that touches `wandb`."""

from .finish import before_finish
from .run import INTERRUPTED, Run, active_run, is_of_another_process, next_step
from .target import RunTaken, RunTarget
from .terminal import tell
from .writer import RunWriter

__all__ = [
    "INTERRUPTED",
    "Run",
    "RunTaken",
    "RunTarget",
    "RunWriter",
    "active_run",
    "before_finish",
    "is_of_another_process",
    "next_step",
    "tell",
]
