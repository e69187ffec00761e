"""torchelastic: a handler for the metrics that `torchrun`'s agent and workers publish."""

from __future__ import annotations

from typing import Any

from ..bridge import Bridge
from .missing import needs

try:
    from torch.distributed.elastic.metrics.api import MetricHandler
except ImportError as error:
    raise needs("torch", "torch", error) from error


class BridgeMetricHandler(MetricHandler):
    """Sends every metric of torchelastic to the bridge, as `group/name`, at the ambient step.

        import torch.distributed.elastic.metrics as metrics

        metrics.configure(BridgeMetricHandler(bridge))

    Args:
        bridge: Where they go.
        source: The component that reports; by default the group of the metric.

    Thread-safety: safe from any thread.
    """

    def __init__(self, bridge: Bridge, *, source: str | None = None) -> None:
        self._bridge = bridge
        self._source = source

    def emit(self, metric_data: Any) -> None:
        """Take a metric (`timestamp`, `group_name`, `name`, `value`). Never raises."""
        group, name = metric_data.group_name, metric_data.name.replace(".", "/")
        self._bridge.log({f"{group}/{name}": metric_data.value}, source=self._source or group)
