"""First stage: what a component records, kept with the step that was its own at that moment."""

from .aggregation import INSTRUMENTS, TEMPORALITY, StepAggregation, step_aggregation
from .ambient import current_step, set_step, training_step
from .collapsing import say_of_collapsing_views
from .intake import Intake
from .lane import DirectLane
from .readership import HeardOnce, Readership
from .uncollectable import collect_what_can_be, may_be_uncollectable, say_uncollectable
from .views import step_view, step_views

__all__ = [
    "INSTRUMENTS",
    "TEMPORALITY",
    "DirectLane",
    "HeardOnce",
    "Intake",
    "Readership",
    "StepAggregation",
    "collect_what_can_be",
    "current_step",
    "may_be_uncollectable",
    "say_of_collapsing_views",
    "say_uncollectable",
    "set_step",
    "step_aggregation",
    "step_view",
    "step_views",
    "training_step",
]
