"""A curve from several runs, drawn in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Curve = Sequence[tuple[int, float]]
MARKS = "•x+o"


def draw(title: str, curves: Mapping[str, Curve], *, width: int, height: int = 14) -> str:
    """Draw the curves, each with a mark of its own; the result may hold ANSI colours."""
    import plotext

    marked = [(label, curve, mark) for (label, curve), mark in zip(curves.items(), MARKS, strict=False)]
    # In the title, because a legend would stand in front of points.
    title = "   ".join([title, *(f"{mark} {label}" for label, _, mark in marked)])
    drawn = [(curve, mark) for _, curve, mark in marked if curve]
    if not drawn:
        return title
    draw_with = _plotext_6 if hasattr(plotext, "figure") else _plotext_5
    return draw_with(plotext, title, drawn, width, height).rstrip("\n")


def _plotext_6(plotext: Any, title: str, drawn: list[tuple[Curve, str]], width: int, height: int) -> str:
    figure = plotext.figure
    figure.clear()
    figure.theme("simple")
    figure.plot_size(width, height)
    figure.title(title)
    for curve, mark in drawn:
        figure.draw(figure.signal([x for x, _ in curve], [y for _, y in curve], marker=mark))
    return str(figure.build())


def _plotext_5(plotext: Any, title: str, drawn: list[tuple[Curve, str]], width: int, height: int) -> str:
    plotext.clear_figure()
    plotext.theme("pro")
    plotext.plot_size(width, height)
    plotext.title(title)
    for curve, mark in drawn:
        plotext.scatter([x for x, _ in curve], [y for _, y in curve], marker=mark)
    return str(plotext.build())
