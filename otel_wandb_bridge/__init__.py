"""OpenTelemetry metrics to Weights & Biases: one merged row for each training step, in order.

The way of the data: record → (OpenTelemetry SDK) → decode → reconcile → write. `exporter` strings the stages
together, `configure` assembles the whole.
"""

from .bridge import Bridge
from .configure import configure
from .exporter import WandbMetricExporter
from .record import current_step, set_step, step_aggregation, step_view, step_views, training_step
from .stats import Stats

__version__ = "0.1.0"

__all__ = [
    "Bridge",
    "Stats",
    "WandbMetricExporter",
    "configure",
    "current_step",
    "set_step",
    "step_aggregation",
    "step_view",
    "step_views",
    "training_step",
]
