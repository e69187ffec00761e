"""The public names as people use them, for mypy: a change that breaks their code shows here."""

from typing import Any

import wandb
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View

import otel_wandb_bridge as owb
from otel_wandb_bridge.testing import FakeClock, FakeRun, read_rows


def one_call(run: wandb.Run) -> owb.Stats:
    """configure, record, look."""
    with owb.configure(run, export_interval_millis=500, hold=5.0, late="merge") as bridge:
        bridge.meter_provider.get_meter("trainer").create_gauge("loss").set(0.5, {"step": 1})
        bridge.log({"loss": 0.5, "image": object()}, step=1, source="trainer", priority=0)
        flushed: bool = bridge.force_flush(timeout_millis=1_000)
        assert flushed
        return bridge.stats()


def own_provider(run: wandb.Run | None) -> MeterProvider:
    """The exporter alone, and views beside one's own."""
    exporter = owb.WandbMetricExporter(run, priorities={"trainer": 0}, gating={"trainer"}, expected_sources=2)
    latency = owb.step_view(
        instrument_name="latency", aggregation=ExplicitBucketHistogramAggregation((1.0, 2.0))
    )
    views: list[View] = [*owb.step_views(), latency]
    return MeterProvider([PeriodicExportingMetricReader(exporter)], views=views)


@owb.training_step(7, source="trainer")
def decorated(value: int) -> str:
    """A decorator keeps the signature."""
    return str(value)


def steps() -> int | None:
    """Context manager and clock."""
    text: str = decorated(3)
    with owb.training_step(7, source="trainer", priority=0) as step:
        owb.set_step(8, source=text)
        return owb.current_step() if step is None else step


def in_memory() -> list[dict[str, Any]]:
    """The test helpers."""
    run = FakeRun()
    exporter = owb.WandbMetricExporter(run, clock=FakeClock())
    exporter.shutdown()
    return run.rows or read_rows("wandb/latest-run")
