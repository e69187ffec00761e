"""`otel-wandb demo`: one training job, reported once through `wandb.log` and once through the bridge."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from otel_wandb_bridge.cli.compare import Outcome, Recorder, compare, points
from otel_wandb_bridge.cli.extras import require
from otel_wandb_bridge.cli.plot import draw
from otel_wandb_bridge.plural import count_of

if TYPE_CHECKING:
    import wandb

    OnStep = Callable[[int], None]

PROJECT = "otel-wandb-demo"
PLOTTED = "eval/accuracy"


@dataclass(frozen=True)
class Finished:
    """One run, with what its components passed and what its file holds."""

    name: str
    axis: str
    file: Path
    recorder: Recorder
    log_calls: int
    rows: Sequence[dict[str, Any]] = ()

    @property
    def outcome(self) -> Outcome:
        """Where the scalars that were passed are."""
        return compare(self.recorder.passed, self.rows, self.axis)


@click.command()
@click.option("--steps", type=click.IntRange(min=1), default=200, show_default=True, help="Training steps.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the training.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where the folder `wandb` with the runs is made; by default here.",
)
@click.option("--no-plot", is_flag=True, help="Print the table alone.")
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a picture of what arrived and what did not.",
)
def demo(steps: int, seed: int, directory: Path, no_plot: bool, picture: Path | None) -> None:
    """Train a small model twice, with wandb.log and with the bridge, and compare what arrived.

    Four threads of one GRPO job report metrics for the same steps at different times. Both runs are offline;
    nothing leaves this machine. The exit code is 1 if the bridge lost anything.
    """
    require("The demo", "demo", "numpy", *([] if no_plot else ["plotext"]))
    if picture is not None:
        require("The picture", "inspect", "matplotlib")
    grpo = load_grpo()
    console = Console()
    directory.mkdir(parents=True, exist_ok=True)

    columns = (TextColumn("{task.description:<17}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        runs = []
        for name, train in (("wandb.log", train_with_wandb), ("otel-wandb-bridge", train_with_bridge)):
            task = progress.add_task(name, total=steps)
            with open_run(name, directory) as run:
                runs.append(train(grpo, run, steps, seed, partial(_advance, progress, task)))
    plain, bridge = read_back(runs)

    console.print()
    console.print(table(plain, bridge))
    if not no_plot and not console.options.ascii_only:
        console.print()
        console.print(curves(plain, bridge, width=min(console.width, 100)))
    if picture is not None:
        from otel_wandb_bridge.cli.demo_picture import save_picture

        save_picture([plain, bridge], picture)
        console.print(f"written: {picture}", soft_wrap=True, markup=False, highlight=False)
    console.print()
    runs_folder = bridge.file.parent.parent
    console.print(
        f"Browse both runs:  wandb leet {runs_folder}", soft_wrap=True, markup=False, highlight=False
    )
    console.print(
        f"Upload one:        wandb sync {bridge.file.parent}", soft_wrap=True, markup=False, highlight=False
    )
    if bridge.outcome.right < bridge.outcome.passed:
        raise click.ClickException("The bridge did not bring every scalar to its step; please report this.")


def train_with_wandb(grpo: Any, run: wandb.Run, steps: int, seed: int, on_step: OnStep) -> Finished:
    """Every component calls `run.log` with the step it reports on."""
    recorder = Recorder(grpo.report_to_wandb(run))
    grpo.train(recorder, steps=steps, seed=seed, on_step=on_step)
    return Finished("wandb.log", "_step", Path(run.settings.sync_file), recorder, log_calls=recorder.calls)


def train_with_bridge(grpo: Any, run: wandb.Run, steps: int, seed: int, on_step: OnStep) -> Finished:
    """Every component records OpenTelemetry instruments or hands dicts to the bridge."""
    import otel_wandb_bridge as owb

    bridge = owb.configure(run, set_global=False)
    recorder = Recorder(grpo.report_to_bridge(bridge))
    try:
        grpo.train(recorder, steps=steps, seed=seed, on_step=on_step)
    finally:
        bridge.shutdown()
    log_calls = bridge.stats().log_calls
    return Finished("otel-wandb-bridge", "global_step", Path(run.settings.sync_file), recorder, log_calls)


def open_run(name: str, directory: Path) -> wandb.Run:
    """Start an offline run that prints nothing."""
    import wandb

    settings = wandb.Settings(silent=True, console="off")
    wandb.setup(settings)  # silences what W&B prints outside a run too, such as one warning for each lost row
    return wandb.init(project=PROJECT, name=name, dir=directory, mode="offline", settings=settings)


def read_back(runs: Sequence[Finished]) -> list[Finished]:
    """Read the files of finished runs."""
    import wandb

    from otel_wandb_bridge.testing import read_rows

    wandb.teardown()  # a file can be incomplete for a moment after its run has finished
    return [replace(run, rows=read_rows(run.file)) for run in runs]


def table(*runs: Finished) -> Table:
    """What was passed and what arrived, a column for each run."""
    result = Table(title="What four components passed, and what their run holds")
    result.add_column("")
    for run in runs:
        result.add_column(run.name, justify="right")
    lines: list[tuple[str, Callable[[Finished], int]]] = [
        ("reports by the components", lambda run: run.recorder.calls),
        ("scalars in them", lambda run: run.outcome.passed),
        ("scalars at the right step", lambda run: run.outcome.right),
        ("scalars at another step", lambda run: run.outcome.misplaced),
        ("scalars lost", lambda run: run.outcome.lost),
        ("rows in the run", lambda run: len(run.rows)),
        ("calls of run.log", lambda run: run.log_calls),
    ]
    for label, figure in lines:
        result.add_row(label, *(f"{figure(run):,}" for run in runs))
    return result


def curves(plain: Finished, bridge: Finished, width: int) -> Text:
    """The metric that arrives latest, from both runs."""
    found = {run.name: points(run.rows, PLOTTED, run.axis) for run in (plain, bridge)}  # ours last, in front
    labelled = {f"{name} ({count_of(len(curve), 'point')})": curve for name, curve in found.items()}
    return Text.from_ansi(draw(PLOTTED, labelled, width=width))


def load_grpo() -> Any:
    """Find the training job: part of the package in a wheel, among the examples in a source checkout."""
    name = "otel_wandb_bridge.cli._grpo"
    if name in sys.modules or importlib.util.find_spec(name):
        return importlib.import_module(name)
    path = Path(__file__).parents[2] / "examples" / "grpo.py"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.exists():
        raise click.ClickException(f"The demo's training job is missing: expected it at {path}")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _advance(progress: Progress, task: TaskID, step: int) -> None:
    progress.update(task, completed=step + 1)
