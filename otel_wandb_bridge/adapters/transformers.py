"""transformers, and TRL, whose trainers take the same callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..bridge import Bridge
from .ambient_step import AmbientStep
from .missing import needs

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise needs("transformers", "transformers", error) from error

SOURCE = "trainer"
_PREFIXES = {"eval_": "eval/", "test_": "test/"}


class StepCallback(TrainerCallback):
    """Whatever is recorded anywhere while the Trainer is at a step belongs to that step.

        trainer = Trainer(..., callbacks=[StepCallback(bridge)])

    The step is the one that the Trainer itself logs for it: `state.global_step` after its update.

    Args:
        bridge: Where the Trainer's own logs go (`train/loss`, `eval/loss`, the names of transformers' W&B
            integration); set `report_to="none"` then. None: they go where `report_to` says.
        source: The component that reports, for all that says none.

    Thread-safety: none; the Trainer calls it from its own thread.
    """

    def __init__(self, bridge: Bridge | None = None, *, source: str = SOURCE) -> None:
        self._bridge = bridge
        self._source = source
        self._step = AmbientStep(source)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A training, or a resumed one, begins after the steps that are done."""
        self._step.stay_at(state.global_step)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The step after those that are done begins."""
        self._step.begin(state.global_step + 1)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """It is over, and counted; logs and evaluations that follow are of this step."""
        self._step.stay_at(state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Everything of the training is to be in the run; it goes on for evaluations after it."""
        self._step.stay_at(state.global_step)
        if self._bridge is not None:
            self._bridge.force_flush()

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """What the Trainer logs, on every process that is the first of its kind."""
        if self._bridge is None or not logs or not state.is_world_process_zero:
            return
        values = {_key(name): value for name, value in logs.items()}
        self._bridge.log(values, step=state.global_step, source=self._source)


def _key(name: str) -> str:
    for prefix, path in _PREFIXES.items():
        if name.startswith(prefix):
            return path + name.removeprefix(prefix)
    return f"train/{name}"
