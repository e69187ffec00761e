"""Weights & Biases as it is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .contender import Contender, Scalar, Values


def offline_run(directory: Path) -> Any:
    """A run in `directory`."""
    import wandb

    return wandb.init(mode="offline", dir=directory, settings=wandb.Settings(console="off", silent=True))


def rows_of(directory: Path) -> list[dict[str, Any]]:
    """The rows of the run in `directory`."""
    from otel_wandb_bridge.testing import read_rows

    (file,) = directory.glob("wandb/offline-run-*/run-*.wandb")
    return read_rows(file)


def scalars_of(directory: Path, axis: str) -> Iterator[Scalar]:
    """The scalars of the run in `directory`, at the step that their row says under `axis`."""
    for row in rows_of(directory):
        step = row.get(axis)
        if isinstance(step, int):
            for key, value in _leaves(row):
                yield Scalar(step, key, value)


def _leaves(row: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in row.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        elif isinstance(value, (int, float)):
            yield prefix + key, value


class WandbLog(Contender):
    """`wandb.log(values, step=step)`."""

    name = "wandb.log(step=)"
    axis = "_step"

    def start(self, directory: Path) -> None:
        self._run = offline_run(directory)
        self._log = self._run.log
        self._calls = 0

    def log(self, values: Values, step: int, source: str) -> None:
        self._log(values, step=step)
        self._calls += 1

    def finish(self) -> None:
        import wandb

        self._run.finish()
        wandb.teardown()

    def counts(self) -> dict[str, Any]:
        return {"calls": self._calls}

    @classmethod
    def read(cls, directory: Path) -> Iterator[Scalar]:
        return scalars_of(directory, cls.axis)


class WandbAxis(WandbLog):
    """`define_metric("*", step_metric="train_step")`, and the step among the values."""

    name = "wandb.log, define_metric"
    axis = "train_step"

    def start(self, directory: Path) -> None:
        super().start(directory)
        self._run.define_metric("train_step")
        self._run.define_metric("*", step_metric="train_step")

    def log(self, values: Values, step: int, source: str) -> None:
        self._log({**values, "train_step": step})
        self._calls += 1


class WandbMerged(WandbLog):
    """What a program could do by hand where all components are one: one call a step."""

    name = "wandb.log, merged by hand"

    def start(self, directory: Path) -> None:
        super().start(directory)
        self._step = 0
        self._row: Values = {}

    def log(self, values: Values, step: int, source: str) -> None:
        if step != self._step:
            self._write()
            self._step = step
        self._row.update(values)

    def finish(self) -> None:
        if self._row:
            self._write()
        super().finish()

    def _write(self) -> None:
        self._log(self._row, step=self._step, commit=True)
        self._row = {}
        self._calls += 1
