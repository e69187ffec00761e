"""What is observed when the run is over: a callback is asked once more, and nobody loses anything by it."""

import os
import subprocess
import sys

import pytest
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from otel_wandb_bridge import WandbMetricExporter, configure
from otel_wandb_bridge.testing import FakeRun


def observed(provider):
    meter = provider.get_meter("system")
    meter.create_observable_gauge("memory", [lambda _: [Observation(7)]])
    meter.create_observable_counter("faults", [lambda _: [Observation(3, {"step": 4})]])


def test_what_is_observed_after_the_run_is_not_taken_in(caplog):
    """Neither rejected nor raised for; what was recorded by the program is both, as ever."""
    run = FakeRun()
    bridge = configure(run, set_global=False, export_interval_millis=3_600_000, strict=True)
    observed(bridge.meter_provider)
    bridge.log({"loss": 0.5}, step=0)
    run.finish()
    before = bridge.stats()
    assert bridge.force_flush()
    assert before == bridge.stats()
    bridge.shutdown()
    stats = bridge.stats()
    assert (0, {}, True) == (stats.rejected, stats.rejected_reasons, stats.is_conserved())
    assert [] == [record for record in caplog.records if record.name == "otel_wandb_bridge"]


def test_what_is_observed_after_the_shutdown_of_the_exporter_is_not_taken_in(caplog):
    """Its reader goes on collecting, which is no fault of the program's."""
    exporter = WandbMetricExporter(FakeRun())
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    observed(provider)
    exporter.shutdown()
    before = exporter.stats()
    reader.collect()
    assert (before, 0) == (exporter.stats(), exporter.stats().rejected)
    assert "shutdown" not in caplog.text
    provider.shutdown()


OWN_PROVIDER = """
import wandb
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from otel_wandb_bridge import WandbMetricExporter, step_views

run = wandb.init(project="demo", mode="offline", settings=wandb.Settings(console="off"))
exporter = WandbMetricExporter(run)
provider = MeterProvider([PeriodicExportingMetricReader(exporter)], views=step_views())
meter = provider.get_meter("t")
meter.create_observable_gauge("memory", [lambda _: [Observation(3)]])
meter.create_gauge("loss").set(1, {"step": 0})
run.finish()
"""

CONFIGURED = """
import wandb
from opentelemetry.metrics import Observation
from otel_wandb_bridge import configure

with wandb.init(project="demo", mode="offline", settings=wandb.Settings(console="off")) as run:
    meter = configure(run).meter_provider.get_meter("t")
    meter.create_observable_gauge("memory", [lambda _: [Observation(3)]])
    meter.create_gauge("loss").set(1, {"step": 0})
"""


@pytest.mark.parametrize("program", [OWN_PROVIDER, CONFIGURED])
def test_a_healthy_program_with_an_observable_ends_in_silence(tmp_path, program):
    """The last collections, at the end of the program, find no run any more."""
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_SILENT"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert 0 == done.returncode, done.stderr
    assert "wandb: Find logs at" in done.stderr
    assert "otel-wandb-bridge" not in done.stderr
