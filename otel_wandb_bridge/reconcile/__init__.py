"""Third stage: samples in any order to rows in step order. Pure, and of the standard library alone."""

from .policy import Policy
from .reconciler import Reconciler
from .reduction import Reductions

__all__ = ["Policy", "Reconciler", "Reductions"]
