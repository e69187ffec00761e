"""The reservoirs of one exporter: what waits in them, and whom to call when one fills up."""

import os
import threading
import weakref
from collections.abc import Callable

from .reservoir import DEFAULT_BOUND, KeepAllReservoir


class Intake:
    """Makes the reservoirs of one reader and knows what waits in them.

    Args:
        on_high_water: Called (from recording threads) when a reservoir is half full.
        bound: How many measurements of one series wait at most.

    Thread-safety: safe from any thread.
    """

    def __init__(self, on_high_water: Callable[[], None] = lambda: None, bound: int = DEFAULT_BOUND) -> None:
        self._on_high_water = on_high_water
        self._bound = bound
        self._lock = threading.Lock()
        self._reservoirs: weakref.WeakSet[KeepAllReservoir] = weakref.WeakSet()
        _intakes.add(self)

    def reservoir(self, *, observed: bool) -> KeepAllReservoir:
        """A reservoir for one series."""
        reservoir = KeepAllReservoir(self._bound, self._on_high_water, observed=observed)
        with self._lock:
            self._reservoirs.add(reservoir)
        return reservoir

    def waiting(self) -> tuple[int, int]:
        """How many measurements wait for a collection, and how many were shed since the last."""
        with self._lock:
            reservoirs = list(self._reservoirs)
        return sum(map(len, reservoirs)), sum(reservoir.shed for reservoir in reservoirs)

    def clear(self) -> None:
        """Forget what waits: in a forked child it is the parent's to write."""
        self._lock = threading.Lock()
        for reservoir in list(self._reservoirs):
            reservoir.clear()


def _clear_all() -> None:
    for intake in list(_intakes):
        intake.clear()


_intakes: weakref.WeakSet[Intake] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_clear_all)
