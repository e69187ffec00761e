"""verl, and trainers that keep a dict of backends in the way of its `Tracking`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..bridge import Bridge


class TrackingBackend:
    """One of the backends that verl's `Tracking` hands each step's metrics to.

        tracking = Tracking("demo", "grpo", default_backend=["console"])
        tracking.logger["otel_wandb_bridge"] = TrackingBackend(bridge)

    It needs nothing of verl: a backend is whatever has `log(data, step)`.

    Args:
        bridge: Of the process that drives the training.
        source: The component that reports.
    """

    def __init__(self, bridge: Bridge, *, source: str = "trainer") -> None:
        self._bridge = bridge
        self._source = source

    def log(self, data: Mapping[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Report values of a step."""
        self._bridge.log(data, step=step, source=self._source)

    def finish(self, **kwargs: Any) -> None:
        """Write everything that waits; the run stays open."""
        self._bridge.force_flush()
