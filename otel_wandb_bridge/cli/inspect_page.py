"""A stored run as one page of HTML that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from otel_wandb_bridge.cli.inspect_tables import lines_of, sources_of

if TYPE_CHECKING:
    from otel_wandb_bridge.inspection import StoredRun

_STYLE = """
body { font-family: system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
td, th { border-bottom: 1px solid #ddd; padding: .25rem .75rem; text-align: left; }
.bad { color: #a00; }
.charts { display: flex; flex-wrap: wrap; } .charts svg { max-width: 100%; height: auto; }
"""


def page(title: str, stored: StoredRun, figures: Sequence[str]) -> str:
    """The whole page.

    Args:
        title: The name of the run.
        stored: The run.
        figures: SVG elements.
    """
    problems = stored.problems()
    verdict = (
        "".join(f'<p class="bad">{escape(problem.text)}</p>' for problem in problems)
        or "<p>One row a step, in rising order.</p>"
    )
    lines = "".join(
        f"<tr><td>{escape(label)}</td><td>{escape(text)}</td></tr>" for label, text in lines_of(stored)
    )
    sources = sources_of(stored)
    by_source = "".join(
        f"<tr><td>{escape(source)}</td><td>{'' if step is None else step}</td><td>{late}</td>"
        f"<td>{overridden}</td></tr>"
        for source, step, late, overridden in sources
    )
    if by_source:
        head = "<tr><th>source</th><th>last step</th><th>late</th><th>overridden</th></tr>"
        by_source = f"<table>{head}{by_source}</table>"
    charts = "".join(f"<div>{figure}</div>" for figure in figures)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{verdict}<table>{lines}</table>"
        f'{by_source}<div class="charts">{charts}</div></body></html>\n'
    )
