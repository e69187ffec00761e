"""One picture: what a step costs the training thread, and what share of the scalars ends at its step."""

from pathlib import Path
from typing import Any

from .contenders import Contender, WandbLog
from .results import Results
from .works import WORKS


def draw(results: Results, file: Path) -> None:
    """Draw what there are figures for."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "performance"
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 5), layout="constrained")
    _costs(left, results)
    _places(right, results)
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


def _costs(axes: Any, results: Results) -> None:
    did = [each for each in WORKS["W1"].contenders if results.has("W1", each, WandbLog)]
    ratios = {each: results.ratio("W1", each, WandbLog, "step mean") for each in did}
    ordered = sorted(ratios, key=lambda each: ratios[each])
    bars = axes.barh(
        [each.name for each in ordered], [ratios[each] for each in ordered], color=_colors(ordered)
    )
    axes.bar_label(bars, [f"{ratios[each]:.2g}" for each in ordered], padding=3)
    axes.set_xscale("log")
    axes.margins(x=0.2)
    axes.set_title("W1: a step of 20 scalars in the training thread\n(wandb.log = 1)")


def _places(axes: Any, results: Results) -> None:
    did = [each for each in WORKS["W2"].contenders if results.has("W2", each)]
    shares = {each: 100 * results.of("W2", each, "right") for each in reversed(did)}
    bars = axes.barh([each.name for each in shares], [*shares.values()], color=_colors([*shares]))
    axes.bar_label(bars, [f"{share:.0f} %" for share in shares.values()], padding=3)
    axes.set_xlim(0, 115)
    axes.set_title("W2: scalars at the right step\n(four threads, some behind)")


def _colors(contenders: list[type[Contender]]) -> list[str]:
    return ["#1f77b4" if each.__module__.endswith(".bridge") else "#b0b0b0" for each in contenders]
