"""First stage: what a component records, kept with the step that was its own at that moment."""

from .aggregation import INSTRUMENTS, StepAggregation, step_aggregation
from .ambient import current_step, set_step, training_step
from .intake import Intake
from .lane import DirectLane
from .readership import HeardOnce, Readership
from .views import step_view, step_views

__all__ = [
    "INSTRUMENTS",
    "DirectLane",
    "HeardOnce",
    "Intake",
    "Readership",
    "StepAggregation",
    "current_step",
    "set_step",
    "step_aggregation",
    "step_view",
    "step_views",
    "training_step",
]
