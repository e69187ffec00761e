"""Lightning: a callback that says the step, and a logger."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from ..bridge import Bridge
from .ambient_step import AmbientStep
from .missing import needs
from .run_config import put_into_config

try:
    from lightning.pytorch import Callback
    from lightning.pytorch.loggers import Logger
    from lightning.pytorch.utilities import rank_zero_only
except ImportError as missing:
    try:  # the same, under the name it had before 2.0
        from pytorch_lightning import Callback
        from pytorch_lightning.loggers import Logger
        from pytorch_lightning.utilities import rank_zero_only
    except ImportError:
        raise needs("lightning", "lightning", missing) from missing

SOURCE = "trainer"


class StepCallback(Callback):
    """Whatever is recorded anywhere while the Trainer is at a step belongs to that step.

        trainer = Trainer(callbacks=[StepCallback()], logger=BridgeLogger(bridge))

    The step is `trainer.global_step` at the begin of the batch, which counts the updates of all optimizers. A
    validation belongs to the step before which it takes place.

    Args:
        source: The component that reports, for all that says none.

    Thread-safety: none; the Trainer calls it from its own thread.
    """

    def __init__(self, *, source: str = SOURCE) -> None:
        self._step = AmbientStep(source)

    def on_train_batch_start(self, trainer: Any, *args: Any, **kwargs: Any) -> None:
        """A batch begins."""
        self._step.begin(trainer.global_step)

    def on_train_batch_end(self, trainer: Any, *args: Any, **kwargs: Any) -> None:
        """It is over; what is recorded before the next is still of its step."""
        self._step.end()

    def on_validation_start(self, trainer: Any, *args: Any, **kwargs: Any) -> None:
        """Validations are logged at the step that comes next."""
        self._step.stay_at(trainer.global_step)

    def on_exception(self, trainer: Any, *args: Any, **kwargs: Any) -> None:
        """No batch end comes any more."""
        self._step.end()


class BridgeLogger(Logger):
    """Sends what Lightning logs to the bridge, with the step that Lightning says.

        trainer = Trainer(logger=BridgeLogger(bridge))

    Args:
        bridge: Of the process with rank 0; the others log nothing, as in all loggers.
        prefix: Put before each key, with a slash.
        source: The component that reports.
    """

    def __init__(self, bridge: Bridge, *, prefix: str = "", source: str = SOURCE) -> None:
        super().__init__()
        self._bridge = bridge
        self._prefix = f"{prefix}/" if prefix else ""
        self._source = source

    @property
    def name(self) -> str | None:
        """The project of the run, which names Lightning's folders."""
        return getattr(self._bridge.run, "project", None) or "otel_wandb_bridge"

    @property
    def version(self) -> str | None:
        """The id of the run."""
        return getattr(self._bridge.run, "id", None)

    @property
    def experiment(self) -> Bridge:
        """The bridge, for `logger.experiment.log(values, step=…)`."""
        return self._bridge

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Report metrics of a step."""
        values = {self._prefix + key: value for key, value in metrics.items()}
        self._bridge.log(values, step=step, source=self._source)

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Put hyperparameters into the config of the run."""
        put_into_config(self._bridge, vars(params) if isinstance(params, Namespace) else params)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write everything that waits; the run stays open."""
        self._bridge.force_flush()
