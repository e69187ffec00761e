"""The demo's before and after as a picture: every scalar that was passed, and whether it arrived."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from otel_wandb_bridge.cli.compare import arrivals
from otel_wandb_bridge.plural import count_of

if TYPE_CHECKING:
    from otel_wandb_bridge.cli.demo import Finished

_NOTHING, _ARRIVED, _LOST = 0, 1, 2
_COLOURS = ("#ffffff", "#3b7dd8", "#d9363e")


def save_picture(runs: Sequence[Finished], path: Path) -> None:
    """Write a PNG with a panel for each run: keys down, training steps across.

    Args:
        runs: Of the same job.
        path: Where to; folders are made.
    """
    import numpy
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    keys = sorted({scalar.key for run in runs for scalar in run.recorder.passed})
    steps = 1 + max(scalar.step for run in runs for scalar in run.recorder.passed)
    figure = Figure(figsize=(11, 0.28 * len(keys) + 1.6), layout="constrained")
    panels = figure.subplots(1, len(runs), sharey=True, squeeze=False)[0]
    for run, panel in zip(runs, panels, strict=True):
        cells = numpy.full((len(keys), steps), _NOTHING)
        for scalar, arrived in arrivals(run.recorder.passed, run.rows, run.axis):
            cell = keys.index(scalar.key), scalar.step
            cells[cell] = max(cells[cell], _ARRIVED if arrived else _LOST)
        colours = ListedColormap(_COLOURS)
        panel.imshow(cells, aspect="auto", interpolation="nearest", cmap=colours, vmin=0, vmax=2)
        outcome = run.outcome
        panel.set_title(
            f"{run.name}: {outcome.right:,} of {count_of(outcome.passed, 'scalar')} at their step"
        )
        panel.set_xlabel("training step")
        panel.set_yticks(range(len(keys)), keys, fontsize=8)
    labels = {"arrived": _COLOURS[_ARRIVED], "thrown away": _COLOURS[_LOST]}
    patches = [Patch(color=colour, label=label) for label, colour in labels.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=2, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=100, metadata={"Software": None})
