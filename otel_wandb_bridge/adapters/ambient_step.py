"""A training step that a framework begins in one callback and ends in another."""

from __future__ import annotations

from ..record import set_step, training_step


class AmbientStep:
    """What `training_step` is for a block, in two calls.

    The step stays the process's current one after its end, so that what is recorded between two steps (a
    validation, a checkpoint) belongs to the last.

    Args:
        source: The component that reports, for all that says none.

    Thread-safety: none; `begin` and `end` belong to the thread that trains.
    """

    def __init__(self, source: str | None) -> None:
        self._source = source
        self._entered: training_step | None = None

    def begin(self, step: int) -> None:
        """From now on, everything recorded belongs to this step. Never raises."""
        self.end()
        self._entered = training_step(step, source=self._source)
        self._entered.__enter__()

    def end(self) -> None:
        """The step is over. Harmless where none was begun."""
        entered, self._entered = self._entered, None
        if entered is not None:
            entered.__exit__(None, None, None)

    def stay_at(self, step: int) -> None:
        """Between two steps: what is recorded belongs to this one."""
        self.end()
        set_step(step, source=self._source)
