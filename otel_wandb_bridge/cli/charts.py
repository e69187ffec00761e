"""Curves of a run as pictures, drawn by matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from otel_wandb_bridge.inspection import Curve

_COLUMNS = 3
_DOTS_UP_TO = 60


def charts(curves: Sequence[Curve], axis: str, *, title: str | None = None) -> Figure:
    """A chart for each curve, side by side; what is no number is left out."""
    from matplotlib.figure import Figure

    drawn = [curve for curve in curves if curve.numbers]
    columns = max(1, min(_COLUMNS, len(drawn)))
    lines = max(1, -(-len(drawn) // columns))
    # No pyplot, which keeps figures, and picks a window system.
    figure = Figure(figsize=(4.2 * columns, 2.8 * lines + (0.4 if title else 0)), layout="constrained")
    for position, curve in enumerate(drawn, start=1):
        chart = figure.add_subplot(lines, columns, position)
        steps, values = zip(*curve.numbers, strict=True)
        chart.plot(steps, values, marker="." if len(steps) <= _DOTS_UP_TO else "", linewidth=1)
        chart.set_title(curve.key, fontsize=10)
        chart.set_xlabel(axis, fontsize=8)
        chart.tick_params(labelsize=8)
        chart.grid(alpha=0.3)
    if title:
        figure.suptitle(title)
    return figure


def save_png(figure: Figure, path: Path) -> None:
    """Write a picture."""
    figure.savefig(path, format="png", dpi=110, metadata={"Software": None})


def svg_of(figure: Figure) -> str:
    """A picture as text, to stand in a page."""
    import matplotlib

    out = io.StringIO()
    # The same figure is the same text, whenever it is drawn.
    with matplotlib.rc_context({"svg.hashsalt": "otel-wandb", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()[out.getvalue().index("<svg") :]
