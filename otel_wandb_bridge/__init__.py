"""OpenTelemetry metrics to Weights & Biases: one merged row for each training step, in order.

The way of the data: record → (OpenTelemetry SDK) → decode → reconcile → write. `exporter` strings the stages
together, `assembly` puts the whole up.
"""

TYPE_CHECKING = False  # of `typing`, which is not needed at start-up: see `autostart`
if TYPE_CHECKING:
    from typing import Any

    from .assembly import configure
    from .bridge import Bridge
    from .exporter import WandbMetricExporter
    from .receive import OtlpReceiver
    from .record import current_step, set_step, step_aggregation, step_view, step_views, training_step
    from .records import Sample
    from .resource import run_resource
    from .stats import Stats
    from .verdict import SamplesLost

__version__ = "0.1.0"

__all__ = [
    "Bridge",
    "OtlpReceiver",
    "Sample",
    "SamplesLost",
    "Stats",
    "WandbMetricExporter",
    "configure",
    "current_step",
    "run_resource",
    "set_step",
    "step_aggregation",
    "step_view",
    "step_views",
    "training_step",
]

# Loaded at first use: the start-up switch of `wandb_step_fix` imports this package in programs that may never
# need OpenTelemetry or W&B.
_HOMES = {
    "Bridge": ".bridge",
    "OtlpReceiver": ".receive",
    "Sample": ".records",
    "SamplesLost": ".verdict",
    "Stats": ".stats",
    "WandbMetricExporter": ".exporter",
    "configure": ".assembly",
    "run_resource": ".resource",
}


def __getattr__(name: str) -> "Any":
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    import importlib

    value = getattr(importlib.import_module(_HOMES.get(name, ".record"), __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
