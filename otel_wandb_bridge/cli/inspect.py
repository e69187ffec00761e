"""`otel-wandb inspect`: what a run holds, and whether it is one row a step, in rising order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console, Group
from rich.text import Text

from otel_wandb_bridge.cli.extras import require

if TYPE_CHECKING:
    from otel_wandb_bridge.inspection import Curve, Problem, StoredRun

MOST_KEYS = 30
MOST_CHARTS = 12
PLOTS_NEED = ("plotext",)
CHARTS_NEED = ("matplotlib",)


@click.command()
@click.argument("run", default="latest")
@click.option(
    "--axis", help="The key under which a row says its step. Default: what most keys are defined on."
)
@click.option("--key", "patterns", multiple=True, help="Keys to show, such as 'train/*'. May be repeated.")
@click.option("--plot", is_flag=True, help="Draw the chosen keys in the terminal.")
@click.option(
    "--check",
    is_flag=True,
    help="Exit with 1 unless the run is finished, with one row a step, in rising order.",
)
@click.option(
    "--late-ok", is_flag=True, help="Check, but late rows pass, as long as no value is there twice."
)
@click.option(
    "--unfinished-ok", is_flag=True, help="Check, but a run that was killed, or still runs, passes."
)
@click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")
@click.option(
    "--png", type=click.Path(dir_okay=False, path_type=Path), help="Write the charts into a picture."
)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a self-contained page.")
def inspect(
    run: str,
    axis: str | None,
    patterns: Sequence[str],
    plot: bool,
    check: bool,
    late_ok: bool,
    unfinished_ok: bool,
    as_json: bool,
    png: Path | None,
    html: Path | None,
) -> None:
    """Show what RUN holds: its rows and steps, what is missing or late, and the curves of its keys.

    RUN is a run directory (wandb/run-… or wandb/offline-run-…), the wandb directory, a .wandb file, or the
    word latest, which is the default. The run should be over: W&B writes its last rows when it finishes, and
    --check fails one that is not.
    """
    from otel_wandb_bridge.cli.inspect_tables import facts_of, tables

    stored = _read(run, axis)
    curves = _chosen(stored, patterns)
    if plot:
        require("Plots", "inspect", *PLOTS_NEED)
    if png is not None or html is not None:
        require("Charts", "inspect", *CHARTS_NEED)
    problems = stored.problems(late_is_fine=late_ok, unfinished_is_fine=unfinished_ok)

    console = Console()
    if as_json:
        click.echo(json.dumps(facts_of(stored, problems), indent=2))
    else:
        shown = curves if patterns else curves[:MOST_KEYS]
        console.print(tables(stored, shown, left_out=len(curves) - len(shown)))
        if plot:
            console.print(_plots(shown[:MOST_CHARTS], width=min(console.width, 100)))
    for path, write in ((png, _write_png), (html, _write_html)):
        if path is not None:
            write(stored, curves[:MOST_CHARTS], path)
            if not as_json:
                console.print(f"written: {path}", soft_wrap=True, markup=False, highlight=False)
    if check or late_ok or unfinished_ok:
        _judge(problems, quiet=as_json)


def _read(run: str, axis: str | None) -> StoredRun:
    from otel_wandb_bridge.inspection import read_run

    try:
        return read_run(run, axis=axis)
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error)) from None


def _chosen(stored: StoredRun, patterns: Sequence[str]) -> list[Curve]:
    curves = stored.history.curves
    if not patterns:
        return curves
    chosen = [curve for curve in curves if any(fnmatchcase(curve.key, pattern) for pattern in patterns)]
    if not chosen:
        there = ", ".join(curve.key for curve in curves[:MOST_KEYS]) or "none"
        raise click.UsageError(f"no key is like {' or '.join(map(repr, patterns))}; the run's keys: {there}")
    return chosen


def _plots(curves: Sequence[Curve], width: int) -> Group:
    from otel_wandb_bridge.cli.plot import draw

    return Group(
        *(
            Text.from_ansi(draw(curve.key, {"": [(int(x), y) for x, y in curve.numbers]}, width=width))
            for curve in curves
            if curve.numbers
        )
    )


def _write_png(stored: StoredRun, curves: Sequence[Curve], path: Path) -> None:
    from otel_wandb_bridge.cli.charts import charts, save_png

    path.parent.mkdir(parents=True, exist_ok=True)
    save_png(charts(curves, stored.history.axis, title=_title(stored)), path)


def _write_html(stored: StoredRun, curves: Sequence[Curve], path: Path) -> None:
    from otel_wandb_bridge.cli.charts import charts, svg_of
    from otel_wandb_bridge.cli.inspect_page import page

    path.parent.mkdir(parents=True, exist_ok=True)
    figures = [svg_of(charts([curve], stored.history.axis)) for curve in curves if curve.numbers]
    path.write_text(page(_title(stored), stored, figures), encoding="utf-8")


def _title(stored: StoredRun) -> str:
    return stored.name or stored.run_id or stored.file.stem


def _judge(problems: Sequence[Problem], *, quiet: bool) -> None:
    if problems:
        raise click.ClickException("; ".join(problem.text for problem in problems))
    if not quiet:
        click.echo("one row a step, in rising order")
