"""OpenTelemetry without the bridge: the SDK by itself, and the exporters for W&B that people write."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .contender import Contender, Scalar, Values
from .wandb_alone import offline_run, scalars_of

INTERVAL_MILLIS = 2_000


class _Gauges(Contender):
    """Gauges of a provider with one periodic reader."""

    def start(self, directory: Path) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

        reader = PeriodicExportingMetricReader(
            self.exporter(directory), export_interval_millis=INTERVAL_MILLIS
        )
        self._provider = MeterProvider([reader])
        self._meter = self._provider.get_meter("bench")
        self._gauges: dict[str, Any] = {}

    def exporter(self, directory: Path) -> Any:
        """What the reader exports to."""
        raise NotImplementedError

    def gauge(self, key: str) -> Any:
        """The gauge of a key."""
        gauge = self._gauges.get(key)
        if gauge is None:
            gauge = self._gauges[key] = self._meter.create_gauge(key)
        return gauge

    def log(self, values: Values, step: int, source: str) -> None:
        attributes = {"step": step, "source": source, "priority": 5}
        for key, value in values.items():
            self.gauge(key).set(value, attributes)

    def finish(self) -> None:
        self._provider.shutdown()


class SdkAlone(_Gauges):
    """The SDK and an exporter that does nothing; the step is a label."""

    name = "OTel SDK, null exporter"
    reads_back = False

    def exporter(self, directory: Path) -> Any:
        return _exporter(lambda metrics_data: None)


class SdkAloneAmbient(SdkAlone):
    """The same without attributes."""

    name = "OTel SDK, null exporter, no attributes"

    def log(self, values: Values, step: int, source: str) -> None:
        for key, value in values.items():
            self.gauge(key).set(value)


class _ToWandb(_Gauges):
    def exporter(self, directory: Path) -> Any:
        self._run = offline_run(directory)
        self._calls = 0
        return _exporter(self.export)

    def export(self, metrics_data: Any) -> None:
        """Write what was collected to the run."""
        raise NotImplementedError

    def write(self, values: dict[str, float], step: int) -> None:
        """One row."""
        self._run.log(values, step=step)
        self._calls += 1

    def finish(self) -> None:
        import wandb

        super().finish()
        self._run.finish()
        wandb.teardown()

    def counts(self) -> dict[str, Any]:
        return {"calls": self._calls}

    @classmethod
    def read(cls, directory: Path) -> Iterator[Scalar]:
        return scalars_of(directory, "_step")


class LastValue(_ToWandb):
    """At each interval the last value of each gauge, at the step that a gauge says."""

    name = "OTel exporter, last values"

    def log(self, values: Values, step: int, source: str) -> None:
        self.gauge("train.step").set(step)
        for key, value in values.items():
            self.gauge(key).set(value)

    def export(self, metrics_data: Any) -> None:
        values = {name: point.value for name, point in _points(metrics_data)}
        step = values.pop("train.step", None)
        if step is not None:
            self.write(values, step)


class StepLabels(_ToWandb):
    """The step is a label; at each interval the data points are grouped by it."""

    name = "OTel exporter, step as label"

    def export(self, metrics_data: Any) -> None:
        rows: defaultdict[int, dict[str, float]] = defaultdict(dict)
        for name, point in _points(metrics_data):
            step = (point.attributes or {}).get("step")
            if step is not None:
                rows[step][name] = point.value
        for step in sorted(rows):
            self.write(rows[step], step)


def _points(metrics_data: Any) -> Iterator[tuple[str, Any]]:
    for resource_metrics in metrics_data.resource_metrics:
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                for point in metric.data.data_points:
                    yield metric.name, point


def _exporter(take: Any) -> Any:
    from opentelemetry.sdk.metrics import _Gauge
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        MetricExporter,
        MetricExportResult,
    )

    class Exporter(MetricExporter):
        def export(self, metrics_data: Any, timeout_millis: float = 10_000, **kwargs: Any) -> Any:
            take(metrics_data)
            return MetricExportResult.SUCCESS

        def force_flush(self, timeout_millis: float = 10_000) -> bool:
            return True

        def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
            pass

    return Exporter(preferred_temporality={_Gauge: AggregationTemporality.DELTA})
