"""Hyperparameters that a framework hands to its tracker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..bridge import Bridge


def put_into_config(bridge: Bridge, values: Mapping[str, Any]) -> None:
    """Put values into the config of the run that a bridge writes; without a run, nowhere."""
    run: Any = bridge.run
    if run is not None:
        run.config.update(dict(values), allow_val_change=True)
