"""A stored run in tables for the terminal, and as plain facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from otel_wandb_bridge.cli.short_names import short_names
from otel_wandb_bridge.inspection import Curve, Problem, StoredRun
from otel_wandb_bridge.inspection.history import ranges
from otel_wandb_bridge.plural import count_of

COUNTS = "bridge/"
"""Where the bridge puts its counts in a run's summary, if asked."""

_UNFINISHED = "killed, or still running"
_SOURCES = 30
_SPARKS, _KEY = 10, 24
"""Widths, so that a line fits into 80 columns."""


def facts_of(stored: StoredRun, problems: Sequence[Problem]) -> dict[str, Any]:
    """What the tables say, for programs."""
    history = stored.history
    return {
        "file": str(stored.file),
        "id": stored.run_id,
        "name": stored.name,
        "project": stored.project,
        "finished": stored.is_finished,
        "exit_code": stored.exit_code,
        "axis": history.axis,
        "rows": len(history.rows),
        "steps": len(history.steps),
        "first_step": history.steps[0] if history.steps else None,
        "last_step": history.steps[-1] if history.steps else None,
        "missing_steps": history.missing,
        "late_rows": len(history.late),
        "repeated_steps": len(history.repeated),
        "values_twice": len(history.twice),
        "rows_without_axis": len(history.without_axis),
        "dropped_by_wandb": stored.dropped_by_wandb,
        "bridge": _counts(stored),
        "sources": {
            source: {"last_step": step, "late": late, "overridden": overridden}
            for source, step, late, overridden in sources_of(stored)
        },
        "keys": {curve.key: len(curve.points) for curve in history.curves},
        "problems": [
            {"kind": problem.kind, "count": problem.count, "text": problem.text} for problem in problems
        ],
    }


def tables(stored: StoredRun, curves: Sequence[Curve], *, left_out: int = 0) -> Group:
    """The run, its sources where it was the bridge that wrote, and the chosen keys."""
    parts: list[Any] = [_run_table(stored)]
    sources = sources_of(stored)
    if sources:
        short = short_names(source for source, *_ in sources)
        parts.append(_sources_table(sources[:_SOURCES], short))
        if any(name != text for name, text in short.items()):
            parts.append(Text("long names are shortened: --json has them whole", style="dim"))
    if len(sources) > _SOURCES:
        parts.append(
            Text(f"… and {count_of(len(sources) - _SOURCES, 'more source')}: --json has all", style="dim")
        )
    if curves:
        parts.append(_keys_table(stored, curves))
    if left_out > 0:
        parts.append(Text(f"… and {count_of(left_out, 'more key')}: --key '*' shows all", style="dim"))
    return Group(*parts)


def lines_of(stored: StoredRun) -> list[tuple[str, str]]:
    """The first table, as label and text."""
    history = stored.history
    end = f"finished with {stored.exit_code}" if stored.is_finished else f"not finished: {_UNFINISHED}"
    span = f" ({history.steps[0]:g} to {history.steps[-1]:g})" if history.steps else ""
    gaps = f" ({ranges(history.gaps)})" if history.gaps else ""
    dropped = "no log to tell" if stored.dropped_by_wandb is None else f"{stored.dropped_by_wandb:,}"
    lines = [
        ("run", " ".join(filter(None, [stored.project and f"{stored.project} /", stored.run_id])) or "?"),
        ("", end),
        ("rows", f"{len(history.rows):,}"),
        (f"steps of {history.axis}", f"{len(history.steps):,}{span}"),
        ("missing steps", f"{history.missing:,}{gaps}"),
        ("late rows", f"{len(history.late):,}"),
        ("steps in more than one row", f"{len(history.repeated):,}"),
        ("values twice at one step", f"{len(history.twice):,}"),
        ("calls that W&B threw away", dropped),
    ]
    if history.without_axis:
        lines.append(
            (f"rows without {history.axis}", f"{len(history.without_axis):,}, left out of the curves")
        )
    counts = _counts(stored)
    if counts:
        said = ("recorded", "written", "overridden", "dropped", "rejected", "shed", "pending")
        told = ", ".join(f"{counts[name]:,} {name}" for name in said if counts.get(name))
        lines.append(("samples, by the bridge", told))
    return lines


def sources_of(stored: StoredRun) -> list[tuple[str, int | None, int, int]]:
    """By source: the highest step it reported, how many samples were late, and how many overridden."""
    described = stored.config.get("otel")
    by_source = described.get("sources") if isinstance(described, dict) else None
    if not isinstance(by_source, dict):
        return []
    return [
        (name, counts.get("step"), counts.get("late", 0), counts.get("overridden", 0))
        for name, counts in sorted(by_source.items())
        if isinstance(counts, dict)
    ]


def _counts(stored: StoredRun) -> dict[str, Any]:
    return {
        key.removeprefix(COUNTS): value for key, value in stored.summary.items() if key.startswith(COUNTS)
    }


def _run_table(stored: StoredRun) -> Table:
    table = Table(
        show_header=False, box=None, padding=(0, 1), title=stored.name or None, title_justify="left"
    )
    table.add_column()
    table.add_column()
    for label, text in lines_of(stored):
        table.add_row(label, text)
    return table


def _sources_table(sources: Sequence[tuple[str, int | None, int, int]], short: Mapping[str, str]) -> Table:
    table = _table()
    table.add_column("source")
    for name in ("last step", "late", "overridden"):
        table.add_column(name, justify="right")
    for source, step, late, overridden in sources:
        table.add_row(
            Text(short[source]), "" if step is None else f"{step:,}", f"{late:,}", f"{overridden:,}"
        )
    return table


def _keys_table(stored: StoredRun, curves: Sequence[Curve]) -> Table:
    sparkline = _sparkline()
    table = _table()
    table.add_column("key", no_wrap=True, max_width=_KEY)
    for name in ("points", "steps", "min", "max", "last"):
        table.add_column(name, justify="right", no_wrap=True)
    if sparkline:
        table.add_column("", no_wrap=True)
    for curve in curves:
        numbers = [y for _, y in curve.numbers]
        low, high = (_short(min(numbers)), _short(max(numbers))) if numbers else ("", "")
        steps = f"{curve.points[0][0]:g}-{curve.points[-1][0]:g}"
        row = [curve.key, f"{len(curve.points):,}", steps, low, high, _short(curve.points[-1][1])]
        table.add_row(*row, *([sparkline(numbers)] if sparkline else []))
    return table


def _table() -> Table:
    return Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)


def _sparkline() -> Any:
    try:
        from sparklines import sparklines
    except ImportError:
        return None

    def draw(numbers: Sequence[float]) -> str:
        if len(numbers) < 2:
            return ""
        size = max(1, -(-len(numbers) // _SPARKS))
        parts = [numbers[start : start + size] for start in range(0, len(numbers), size)]
        means = [sum(part) / len(part) for part in parts]
        least = min(means)
        if max(means) - least <= 1e-12 * max(map(abs, means)):  # a constant, but for the last bits of a sum
            means = [least for _ in means]
        return str(sparklines([mean - least for mean in means])[0])

    return draw


def _short(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        text = value.get("_type", "…") if isinstance(value, dict) else str(value)
        return text if len(text) <= 12 else f"{text[:11]}…"
    return f"{value:.3g}"
