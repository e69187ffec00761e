"""What a receiver shows of itself: `/stats`, and the live view."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from ..exporter import WandbMetricExporter
from .inlet import Inlet


def counts_of(exporter: WandbMetricExporter, inlet: Inlet | None) -> dict[str, Any]:
    """Counts as plain JSON.

    `requests` and `points` are as they came in, `samples` the ends of every sample (`Stats`), `sources` how
    far each has come, with `lag`, the steps that it is behind the newest; `watermark` is the step up to which
    all is done.
    """
    stats = exporter.stats()
    progress = exporter.entrances.standing()
    newest = max(progress.sources.values(), default=None)
    came_in = {} if inlet is None else asdict(inlet.counts)
    return {
        "requests": {
            "accepted": came_in.get("requests", 0),
            "refused": came_in.get("refused", 0),
            "waiting": 0 if inlet is None else inlet.waiting,
        },
        "points": {
            "new": came_in.get("points", 0),
            "duplicate": came_in.get("duplicates", 0),
            "rejected": came_in.get("rejected_points", 0),
        },
        "journal_bytes": None if inlet is None else inlet.journal_bytes,
        "samples": {each.name: _plain(getattr(stats, each.name)) for each in fields(stats)},
        "watermark": progress.watermark,
        "newest_step": newest,
        "sources": {
            str(source): {"step": step, "lag": 0 if newest is None else newest - step}
            for source, step in sorted(progress.sources.items())
        },
    }


def _plain(value: Any) -> Any:
    """As JSON has it: sources, which are keys of some counts, are more than text."""
    if isinstance(value, Mapping):
        return {"".join(key): _plain(each) for key, each in value.items()}
    return value
