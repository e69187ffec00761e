"""From the stock exporters of other processes to rows in a real offline run."""

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the OTLP/HTTP exporter is needed")

WORKER = """
import sys

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from otel_wandb_bridge import step_aggregation, step_views

exporter = OTLPMetricExporter(sys.argv[1], preferred_aggregation=step_aggregation())
provider = MeterProvider(
    [PeriodicExportingMetricReader(exporter)],
    resource=Resource({"service.name": "worker", "service.instance.id": sys.argv[2]}),
    views=step_views(),
)
gauge = provider.get_meter("rollout").create_gauge(f"reward.{sys.argv[2]}")
for step in range(50):
    gauge.set(step / 2, {"step": step})
provider.shutdown()
assert "wandb" not in sys.modules
"""

START_WORKERS = f"""
import subprocess
from otel_wandb_bridge import OtlpReceiver

def work(endpoint, *names):
    workers = [subprocess.Popen([sys.executable, "-c", {WORKER!r}, endpoint, name]) for name in names]
    assert all(worker.wait(60) == 0 for worker in workers)

run = wandb.init(project="receiver")
"""


def test_what_other_processes_export_is_in_the_run(run_script):
    """Each step in one row, in order, whichever process says it."""
    ended = run_script(
        START_WORKERS
        + """
with OtlpReceiver(run, port=0, expected_sources=2) as receiver:
    work(receiver.metrics_endpoint, "a", "b")
report(recorded=receiver.stats().recorded, conserved=receiver.stats().is_conserved())
run.finish()
"""
    ).ended_well()
    assert [{"recorded": 100, "conserved": True}] == ended.reports
    assert list(range(50)) == ended.run.steps()
    assert {step: step / 2 for step in range(50)} == ended.run.series("reward/a")
    assert {step: step / 2 for step in range(50)} == ended.run.series("reward/b")


@pytest.mark.parametrize("ending", ["bridge.force_flush()", "bridge.shutdown()", "run.finish()"])
def test_this_process_and_others_share_rows(run_script, ending):
    """`configure(run, receiver=…)`: rank 0 reports like everybody else, and no flush parts them."""
    ended = run_script(
        START_WORKERS
        + f"""
receiver = OtlpReceiver(port=0)
bridge = configure(run, receiver=receiver, export_interval_millis=NEVER)
loss = metrics.get_meter("trainer").create_gauge("loss")
for step in range(50):
    loss.set(float(step), {{"step": step}})
work(receiver.metrics_endpoint, "a")
{ending}
run.finish()
"""
    ).ended_well()
    assert list(range(50)) == ended.run.steps()
    assert {step: step for step in range(50)} == ended.run.series("loss")
    assert {step: step / 2 for step in range(50)} == ended.run.series("reward/a")


@pytest.mark.long
def test_the_finish_of_the_run_waits_for_what_was_accepted(run_script):
    """Nothing needs to be flushed or closed."""
    ended = run_script(
        START_WORKERS
        + """
receiver = OtlpReceiver(run, port=0)
receiver.start()
work(receiver.metrics_endpoint, "a")
run.finish()
"""
    ).ended_well()
    assert list(range(50)) == ended.run.steps()
