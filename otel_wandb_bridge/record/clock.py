"""The process's step clock: the training step that is current where nobody says otherwise."""

import os
import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class ClockState(NamedTuple):
    """What the clock shows at one moment. Immutable, so that a measurement can keep it with one reference."""

    step: int | None
    owner: str | None
    by_source: Mapping[str, int]

    def step_of(self, source: object) -> int | None:
        """The step of `source` where it has said one, else the process's."""
        if source is not None and self.by_source:
            return self.by_source.get(str(source), self.step)
        return self.step


NO_STEP = ClockState(None, None, MappingProxyType({}))


class StepClock:
    """Shows the current step of the process and of each source that has said one.

    A source may set its own step to anything. The process's step is moved by whoever is furthest: a call
    without a source always moves it, a call with one moves it forward, and back only where that source
    moved it last; an evaluator that is five steps behind does not drag the trainer back.

    Thread-safety: reading `state` needs no lock; `set` takes a reentrant one, for signal handlers.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.state = NO_STEP
        self.unusable = 0
        """How often somebody said a step that cannot be used."""

    def refuse(self) -> None:
        """Count a step that cannot be used; the clock stays."""
        with self._lock:
            self.unusable += 1

    def set(self, step: int, source: str | None = None) -> None:
        """Move the clock of `source` and, by the rule above, the process's."""
        with self._lock:
            now = self.state
            by_source = now.by_source
            if source is not None:
                source = str(source)
                by_source = MappingProxyType({**by_source, source: step})
            moves = source is None or now.step is None or step > now.step or source == now.owner
            self.state = ClockState(step if moves else now.step, source if moves else now.owner, by_source)

    def renew_lock(self) -> None:
        """In a forked child: a thread that is not there any more may have held it."""
        self._lock = threading.RLock()

    def reset(self) -> None:
        """Forget all steps."""
        with self._lock:
            self.state = NO_STEP


STEP_CLOCK = StepClock()
"""The clock of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=STEP_CLOCK.renew_lock)
