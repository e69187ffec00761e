"""How far all sources have come, for whoever asks while a flush goes on."""

from typing import NamedTuple

from .reconciler import Reconciler


class Standing(NamedTuple):
    """How far all have come."""

    watermark: int | None
    """The step up to which, inclusive, everything is done."""
    sources: dict[str, int]
    """The highest step of each source."""


def standing_of(reconciler: Reconciler) -> Standing:
    """As of now. Needs no lock."""
    while True:
        try:
            sources = {name: each.highest for name, each in reconciler.sources.items()}
            return Standing(reconciler.watermark, sources)
        except RuntimeError:  # a source was added meanwhile
            continue
