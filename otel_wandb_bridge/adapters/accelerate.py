"""accelerate: a tracker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..bridge import Bridge
from .missing import needs
from .run_config import put_into_config

try:
    from accelerate.tracking import GeneralTracker
except ImportError as error:
    raise needs("accelerate", "accelerate", error) from error


class BridgeTracker(GeneralTracker):
    """Sends what `accelerator.log` is given to the bridge.

        accelerator = Accelerator(log_with=BridgeTracker(bridge))
        accelerator.init_trackers("demo", config={"lr": 0.01})

    Args:
        bridge: Of the main process, the only one that logs.
        source: The component that reports.
    """

    name = "otel_wandb_bridge"
    requires_logging_directory = False
    main_process_only = True

    def __init__(self, bridge: Bridge, *, source: str = "trainer") -> None:
        super().__init__()
        self._bridge = bridge
        self._source = source

    @property
    def tracker(self) -> Bridge:
        """The bridge, as `accelerator.get_tracker("otel_wandb_bridge", unwrap=True)` gives it."""
        return self._bridge

    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        """Put the config of `init_trackers` into that of the run that is active."""
        put_into_config(self._bridge, values)

    def log(self, values: Mapping[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Report values of a step; without one, of the ambient step."""
        self._bridge.log(values, step=step, source=self._source)

    def finish(self) -> None:
        """Write everything that waits (`accelerator.end_training`); the run stays open."""
        self._bridge.force_flush()
