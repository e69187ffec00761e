"""The live view of a receiver: its counts, and how far each source has come."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from otel_wandb_bridge.cli.short_names import short_names
from otel_wandb_bridge.plural import count_of

_SHOWN = 30
_WINDOW_SECONDS = 60.0


class Shown(NamedTuple):
    """What is shown at one moment."""

    counts: dict[str, Any]
    """As of `OtlpReceiver.counts`."""
    rows_a_minute: float
    samples_a_second: float


class Rates:
    """Counts by time, for the last minute."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, int, int]] = deque()

    def at(self, counts: dict[str, Any], now: float) -> Shown:
        """What is to be shown now (seconds that never go back)."""
        samples = counts["samples"]
        self._past.append((now, samples["rows"], samples["recorded"]))
        while now - self._past[0][0] > _WINDOW_SECONDS:
            self._past.popleft()
        then, rows, recorded = self._past[0]
        seconds = now - then
        if seconds <= 0:
            return Shown(counts, 0.0, 0.0)
        rows_a_minute = (samples["rows"] - rows) / seconds * 60
        return Shown(counts, rows_a_minute, (samples["recorded"] - recorded) / seconds)


def view_of(shown: Shown) -> RenderableType:
    """Two tables: what came in and what became of it; the sources, those furthest behind first."""
    counts, samples = shown.counts, shown.counts["samples"]
    figures = Table.grid(padding=(0, 2))
    for name, value, hint in (
        (
            "requests",
            f"{counts['requests']['accepted']:,}",
            f"{counts['requests']['refused']:,} told to come again",
        ),
        ("data points", f"{counts['points']['new']:,}", f"{counts['points']['duplicate']:,} repeated"),
        ("samples", f"{samples['recorded']:,}", f"{shown.samples_a_second:,.0f} a second"),
        ("rows", f"{samples['rows']:,}", f"{shown.rows_a_minute:,.0f} a minute"),
        ("late", f"{samples['late']:,}", "came after the row of their step"),
        ("waiting", f"{samples['pending']:,}", count_of(counts["requests"]["waiting"], "request")),
        ("rejected, shed", f"{samples['rejected'] + samples['shed']:,}", _reasons(samples)),
    ):
        figures.add_row(Text(name, style="dim"), Text(value, justify="right"), Text(hint, style="dim"))
    title = f"watermark {_or_none(counts['watermark'])}, newest step {_or_none(counts['newest_step'])}"
    sources = Table(title=title, title_justify="left")
    sources.add_column("source")
    sources.add_column("step", justify="right")
    sources.add_column("behind", justify="right")
    by_lag = sorted(counts["sources"].items(), key=lambda item: (-item[1]["lag"], item[0]))
    short = short_names(counts["sources"])
    for source, progress in by_lag[:_SHOWN]:
        sources.add_row(Text(short[source]), f"{progress['step']:,}", f"{progress['lag']:,}")
    if len(by_lag) > _SHOWN:
        sources.add_row(Text(f"and {len(by_lag) - _SHOWN} more", style="dim"), "", "")
    return Group(figures, sources)


def _reasons(samples: dict[str, Any]) -> str:
    return ", ".join(f"{reason}: {count:,}" for reason, count in samples["rejected_reasons"].items())


def _or_none(step: int | None) -> str:
    return "none yet" if step is None else f"{step:,}"
