"""What a run has already, where another process wrote it before."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..testing import read_rows

SAFE_ROWS = 2_000
"""A row is safe once so many were written after it: W&B's service keeps 32 KiB of them in memory."""
_SETTLED_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Resumed:
    """The rows that a run has.

    Attributes:
        starting_step: The first `_step` that it does not have.
        values: The value of the highest step of each key, where the rows could be read.
    """

    starting_step: int = 0
    values: dict[str, Any] = field(default_factory=dict)


def file_of(run: Any) -> str | None:
    """The `.wandb` file that a run of this process writes."""
    directory = getattr(run, "dir", None)
    return None if directory is None else str(Path(directory).resolve().parent / f"run-{run.id}.wandb")


def resumed(run: Any, files: Sequence[str], step_metric: str) -> Resumed:
    """What the run has.

    W&B says it where the run is online. An offline run is never resumed by W&B: another process with the same
    id begins a file of its own, so the files of those before are read.

    Args:
        run: The run of this process.
        files: The `.wandb` files that were written before.
        step_metric: The axis key.
    """
    starting_step = getattr(run, "starting_step", 0) or 0
    if starting_step or not getattr(run, "offline", False):
        return Resumed(starting_step)
    highest: dict[str, int] = {}
    values: dict[str, Any] = {}
    for file in map(Path, files):
        if not file.exists():
            continue
        _wait_until_settled(file)
        for row in read_rows(file):
            starting_step = max(starting_step, row["_step"] + 1)
            step = row.get(step_metric, -1)
            for key, value in row.items():
                if step >= highest.get(key, -1):
                    highest[key], values[key] = step, value
    return Resumed(starting_step, values)


def _wait_until_settled(file: Path) -> None:
    """W&B's service outlives a killed process for a moment, and may still write."""
    while 0 <= time.time() - file.stat().st_mtime < _SETTLED_SECONDS:
        time.sleep(0.1)
