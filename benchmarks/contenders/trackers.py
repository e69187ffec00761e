"""Other trackers and metrics libraries."""

import json
import os
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .contender import Contender, Scalar, Values


class TensorBoard(Contender):
    """tensorboardX, `add_scalar` for each value."""

    name = "tensorboardX"

    def start(self, directory: Path) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(directory / "events"))

    def log(self, values: Values, step: int, source: str) -> None:
        add = self._writer.add_scalar
        for key, value in values.items():
            add(key, value, step)

    def finish(self) -> None:
        self._writer.close()

    @classmethod
    def read(cls, directory: Path) -> Iterator[Scalar]:
        from tensorboardX.proto.event_pb2 import Event

        (file,) = directory.glob("events/*")
        data = file.read_bytes()
        position = 0
        while position < len(data):
            (length,) = struct.unpack_from("<Q", data, position)
            event = Event.FromString(data[position + 12 : position + 12 + length])
            position += length + 16
            for value in event.summary.value:
                yield Scalar(event.step, value.tag, value.simple_value)


class Trackio(Contender):
    """trackio, local."""

    name = "trackio"

    def start(self, directory: Path) -> None:
        os.environ.update(TRACKIO_DIR=str(directory / "trackio"), HF_HUB_OFFLINE="1")
        import trackio

        self._trackio = trackio
        self._run = trackio.init(project="bench", name="run", embed=False)

    def log(self, values: Values, step: int, source: str) -> None:
        self._run.log(values, step=step)  # `trackio.log` knows the run in the thread that made it alone

    def finish(self) -> None:
        self._trackio.finish()

    @classmethod
    def read(cls, directory: Path) -> Iterator[Scalar]:
        # Not by trackio's own reader, which is for the one directory that it was imported with.
        with sqlite3.connect(directory / "trackio" / "bench.db") as database:
            for step, metrics in database.execute("SELECT step, metrics FROM metrics"):
                for key, value in json.loads(metrics).items():
                    yield Scalar(step, key, value)


class Mlflow(Contender):
    """MLflow, `log_metrics(synchronous=False)` into SQLite."""

    name = "MLflow, async"
    rounds = 1

    def start(self, directory: Path) -> None:
        import mlflow

        self._mlflow = mlflow
        mlflow.set_tracking_uri(f"sqlite:///{directory}/mlflow.db")
        self._run_id = mlflow.start_run().info.run_id

    def log(self, values: Values, step: int, source: str) -> None:
        self._mlflow.log_metrics(values, step=step, synchronous=False, run_id=self._run_id)

    def finish(self) -> None:
        self._mlflow.flush_async_logging()
        self._mlflow.end_run()

    @classmethod
    def read(cls, directory: Path) -> Iterator[Scalar]:
        with sqlite3.connect(directory / "mlflow.db") as database:
            for row in database.execute("SELECT step, key, value FROM metrics"):
                yield Scalar(*row)


class Neptune(Contender):
    """neptune-scale, offline."""

    name = "neptune-scale, offline"
    rounds = 1
    reads_back = False

    def start(self, directory: Path) -> None:
        from neptune_scale import Run

        self._run = Run(
            project="bench/bench", run_id="bench", mode="offline", log_directory=str(directory / "neptune")
        )

    def log(self, values: Values, step: int, source: str) -> None:
        self._run.log_metrics(values, step=step)

    def finish(self) -> None:
        self._run.close()


class Aim(Contender):
    """Aim, into a local repository."""

    name = "Aim"
    rounds = 1
    reads_back = False

    def start(self, directory: Path) -> None:
        from aim import Run

        self._run = Run(repo=str(directory), system_tracking_interval=None, log_system_params=False)

    def log(self, values: Values, step: int, source: str) -> None:
        self._run.track(values, step=step)

    def finish(self) -> None:
        self._run.close()


class PrometheusClient(Contender):
    """prometheus_client: a gauge for each value; it knows no steps."""

    name = "prometheus_client"
    reads_back = False

    def start(self, directory: Path) -> None:
        from prometheus_client import CollectorRegistry

        self._registry = CollectorRegistry()
        self._gauges: dict[str, Any] = {}

    def log(self, values: Values, step: int, source: str) -> None:
        for key, value in values.items():
            gauge = self._gauges.get(key)
            if gauge is None:
                gauge = self._gauges[key] = self._gauge(key)
            gauge.set(value)

    def _gauge(self, key: str) -> Any:
        from prometheus_client import Gauge

        return Gauge(key.replace("/", "_").replace(".", "_"), key, registry=self._registry)
