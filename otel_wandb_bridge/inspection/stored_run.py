"""A run as its `.wandb` file has it, found by a word, a directory or a file."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..plural import count_of
from ..testing import read_config, read_records, read_rows, read_summary
from ..testing.locate import find_wandb_file
from .history import History, Problem

LATEST = "latest"
DEFAULT_AXIS = "global_step"
_MOST_KEYS = 20
_UNFINISHED = (
    "the run is not finished: it was killed, or is still running, and its last rows may be missing "
    "(--unfinished-ok lets it pass)"
)
_DROPPED = "ignoring partial history record"
"""What W&B's service writes into `logs/debug-internal.log` for each call whose step it does not take."""


@dataclass(frozen=True)
class StoredRun:
    """What is known of a run from its files.

    Attributes:
        file: The `.wandb` file.
        history: Its rows.
        run_id: The id of the run; `name` and `project` likewise, empty where W&B has none.
        exit_code: As the run was finished with; None where the file does not say that it was finished.
        dropped_by_wandb: How many calls of `log` W&B threw away, by its own log; None where there is no log.
        config: The run's config.
        summary: The run's summary.
    """

    file: Path
    history: History
    run_id: str = ""
    name: str = ""
    project: str = ""
    exit_code: int | None = None
    dropped_by_wandb: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """Whether the file says that the run was finished; else it was killed, or is still running."""
        return self.exit_code is not None

    def problems(self, *, late_is_fine: bool = False, unfinished_is_fine: bool = False) -> list[Problem]:
        """Whatever fails `otel-wandb inspect --check`.

        Args:
            late_is_fine: As in `History.problems`.
            unfinished_is_fine: The run may have been killed, or still run.
        """
        problems = self.history.problems(late_is_fine=late_is_fine)
        if not (self.is_finished or unfinished_is_fine):
            problems.append(Problem("unfinished", 1, _UNFINISHED))
        if not self.history.rows:
            problems.append(Problem("no rows", 1, "the run has no rows"))
        if self.dropped_by_wandb:
            calls = count_of(self.dropped_by_wandb, "call of log", "calls of log")
            text = f"W&B threw away {calls}, whose step was too low"
            problems.append(Problem("thrown away", self.dropped_by_wandb, text))
        return problems


def read_run(run: str | os.PathLike[str] = LATEST, *, axis: str | None = None) -> StoredRun:
    """Read a run back from its file.

    Args:
        run: A run directory, the `wandb` directory (for the latest run in it), a `.wandb` file, or `latest`:
            the latest run below here, or below `WANDB_DIR`.
        axis: The key under which a row says its step. By default the one on which most keys are defined
            (`define_metric`) and that rows have, else `global_step`, else W&B's own `_step`.

    Raises:
        FileNotFoundError: there is no such run.
        ValueError: the file is no `.wandb` file, a directory holds several, or no row has `axis`.
    """
    file = _latest() if str(run) == LATEST and not Path(run).exists() else find_wandb_file(run)
    rows = read_rows(file)
    said = {"run_id": "", "name": "", "project": ""}
    exit_code = None
    axes: Counter[str] = Counter()
    for record in read_records(file):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            said = {
                "run_id": record.run.run_id,
                "name": record.run.display_name,
                "project": record.run.project,
            }
        elif kind == "metric" and record.metric.step_metric:
            axes[record.metric.step_metric.replace("\\.", ".")] += 1
        elif kind == "exit":
            exit_code = record.exit.exit_code
    chosen = axis or _axis_among(axes, rows)
    if axis is not None and rows and not any(axis in row for row in rows):
        keys = sorted({key for row in rows for key in row})
        shown = ", ".join([*keys[:_MOST_KEYS], *(["…"] if len(keys) > _MOST_KEYS else [])])
        raise ValueError(f"no row has the axis {axis!r}; the rows have {shown}")
    return StoredRun(
        file=file,
        history=History(rows, chosen),
        exit_code=exit_code,
        dropped_by_wandb=dropped_in(file.parent / "logs" / "debug-internal.log"),
        config=read_config(file),
        summary=read_summary(file),
        **said,
    )


def _axis_among(axes: Counter[str], rows: list[dict[str, Any]]) -> str:
    candidates = [*(name for name, _ in axes.most_common()), DEFAULT_AXIS]
    return next((name for name in candidates if any(name in row for row in rows)), "_step")


def dropped_in(log: Path) -> int | None:
    """How many calls W&B threw away, by the log of its service; None where there is none."""
    try:
        with log.open(errors="replace") as lines:
            return sum(_DROPPED in line for line in lines)
    except OSError:
        return None


def _latest() -> Path:
    places = list(_places())
    found = [file for place in places for file in place.glob("*run-*/run-*.wandb")]
    if not found:
        looked = ", ".join(map(str, places)) or "wandb"
        raise FileNotFoundError(
            f"there is no run to be the latest in {looked}; name a run directory (wandb/run-... or "
            "wandb/offline-run-...) or a .wandb file, or set WANDB_DIR"
        )
    return max(found, key=lambda file: (file.stat().st_mtime, file.name))


def _places() -> Iterator[Path]:
    roots = [Path(os.environ["WANDB_DIR"])] if os.environ.get("WANDB_DIR") else []
    for root in [*roots, Path()]:
        for name in ("wandb", ".wandb"):
            if (root / name).is_dir():
                yield root / name
