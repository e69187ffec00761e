"""From figures to `docs/performance.md`, a plot, and the raw data beside them."""

import importlib.metadata
import json
import os
import platform
from pathlib import Path

from .contenders import Contender, Floor, Nothing, WandbLog
from .results import IDLE, Results
from .targets import told, verdicts
from .works import WORKS, Work

_PACKAGES = (
    "opentelemetry-sdk",
    "wandb",
    "aim",
    "mlflow",
    "neptune-scale",
    "prometheus-client",
    "tensorboardX",
    "trackio",
)
_MADE_OF = {
    "call": "What a patched `wandb.log` of 20 scalars is made of, in the thread that calls",
    "row": "What a row of four patched calls is made of: CPU of all threads and processes",
    "drain": "What a row of five scalars (W4) is made of, beside the same by hand (together 100 %): CPU",
}
_HEAD = """# Performance

Made by `make bench`, which writes this page, its plot and [its raw data](performance.json): nothing here is
written by hand. Every figure is a ratio within that run. Contenders take turns, each in a process of its own,
on the same work; the first tenth of the steps is left out of the times of calls and steps. CPU is that of all
processes, children included, until everything is durable, less that of a process that starts and finishes. No
absolute figure is a claim: run it on your machine.
"""


def write(results: Results, directory: Path, *, rounds: int, quick: bool) -> None:
    """Write the page, the plot and the data into `directory`."""
    size = "Sizes of `--quick`: to try the tool, not to judge by. " if quick else ""
    made_with = f"{size}Rounds: {rounds}. {_machine()}\n"
    page = "\n".join(
        (_HEAD, made_with, "![The cost of a step, and where its scalars end](performance.svg)\n")
    )
    (directory / "performance.md").write_text(f"{page}\n{text(results)}")
    (directory / "performance.json").write_text(raw(results))
    from .plot import draw

    draw(results, directory / "performance.svg")


def raw(results: Results) -> str:
    """All figures of all rounds, as JSON."""
    return json.dumps({"machine": _machine(), "figures": results.figures}, indent=1) + "\n"


def text(results: Results) -> str:
    """The tables, in Markdown."""
    parts = [_targets(results)]
    parts += [_table(results, work) for name, work in WORKS.items() if name in results.figures]
    parts += [_made_of(results, name, title) for name, title in _MADE_OF.items()]
    return "\n".join(filter(None, parts))


def _targets(results: Results) -> str:
    lines = ["## Targets\n", "| what | target | measured | met | made of |", "|---|---|---|---|---|"]
    for each in verdicts(results):
        met = "yes" if each.is_met else "**no**"
        lines.append(f"| {each.what} | {each.target} | {each.measured} | {met} | {each.made_of} |")
    return "\n".join(lines) + "\n" if len(lines) > 3 else ""


def _made_of(results: Results, probe: str, title: str) -> str:
    if probe not in results.figures.get("probe", {}):
        return ""
    whole = results.of("probe", probe, "whole")
    names = [name for name in results.figures["probe"][probe][0] if name not in ("whole", "cpu")]
    lines = [f"## {title}\n", "| part | share |", "|---|---|"]
    shares = {name: results.of("probe", probe, name) / whole for name in names}
    if probe == "call":
        shares["the rest: the calls themselves, and which run, step and component it belongs to"] = 1 - sum(
            shares.values()
        )
    lines += [f"| {name} | {share:.0%} |" for name, share in shares.items()]
    return "\n".join(lines) + "\n"


def _table(results: Results, work: Work) -> str:
    base = next((each for each in (WandbLog, Nothing) if results.has(work.name, each)), None)
    did = [each for each in work.contenders if results.has(work.name, each)]
    if base is None:
        base = did[0]
    columns = ["step, mean", "step, p50", "step, p99", "total CPU", "until durable", "memory", "right step"]
    rows = [(told(contender), _cells(results, work.name, contender, base)) for contender in did]
    shown = [index for index in range(len(columns)) if any(cells[index] for _, cells in rows)]
    heads = [columns[index] for index in shown]
    title = f"## {work.name}: {work.title}\n\nRatios to {base.name}.\n"
    lines = [title, f"| | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    lines += [f"| {name} | {' | '.join(cells[index] for index in shown)} |" for name, cells in rows]
    return "\n".join(lines) + "\n"


def _cells(results: Results, work: str, contender: type[Contender], base: type[Contender]) -> list[str]:
    def ratio(figure: str) -> str:
        try:
            return f"{results.ratio(work, contender, base, figure):.3g}"
        except (LookupError, ZeroDivisionError):
            return ""

    has_idle = all(results.has(IDLE, each) for each in (contender, base))
    cpu = f"{results.cpu_ratio(work, contender, base):.2f}" if has_idle else ""
    try:
        right = f"{results.of(work, contender, 'right'):.1%}"
    except LookupError:
        right = ""
    memory = ""
    if work in ("W4", "W5"):
        against = Floor if results.has(work, Floor) else base
        memory = f"{results.ratio(work, contender, against, 'peak'):.2f}"
    timed = [ratio(figure) for figure in ("step mean", "step p50", "step p99")]
    return [*timed, cpu, ratio("seconds"), memory, right]


def _machine() -> str:
    versions = []
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{package}: not installed")
    where = f"{platform.python_implementation()} {platform.python_version()}, {platform.system()}"
    return f"{where}, {os.cpu_count()} cores; {', '.join(versions)}."
