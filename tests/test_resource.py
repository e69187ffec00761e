"""The run in the OpenTelemetry resource, and the resource in the run's config."""

import math
import subprocess
import sys
import textwrap

import opentelemetry.sdk.version
import pytest
import wandb
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from otel_wandb_bridge import configure, run_resource
from otel_wandb_bridge.testing import FakeRun

SDK = tuple(map(int, opentelemetry.sdk.version.__version__.split(".")[:2]))
can_be_changed = pytest.mark.skipif(SDK < (1, 44), reason="before 1.44 a resource cannot be changed")


@pytest.fixture(autouse=True)
def no_other_run(monkeypatch):
    """A test elsewhere may have left one behind, which W&B calls active."""
    monkeypatch.setattr(wandb, "run", None)


@pytest.fixture
def run():
    return FakeRun(id="abc", project="demo", entity="team")


def resource_of(reader):
    """The attributes of the resource in one collection."""
    return dict(reader.get_metrics_data().resource_metrics[0].resource.attributes)


def test_a_run_is_four_attributes(run):
    """Those that it has: an offline run has no URL."""
    assert {"wandb.run.id": "abc", "wandb.project": "demo", "wandb.entity": "team"} == dict(
        run_resource(run).attributes
    )
    run.offline = False
    run.url = "https://wandb.example/team/demo/runs/abc"
    assert run.url == run_resource(run).attributes["wandb.run.url"]


def test_without_a_run_there_is_nothing_to_say():
    """None, and no run of `wandb.init`."""
    assert {} == dict(run_resource().attributes)


def test_configure_puts_the_run_into_the_resource(run):
    """Beside the attributes that were asked for, which come first."""
    reader = InMemoryMetricReader()
    wanted = Resource({"wandb.project": "renamed", "team": "post-training"})
    with configure(
        run, set_global=False, extra_readers=[reader], service_name="trainer", resource=wanted
    ) as bridge:
        bridge.force_flush()
        found = resource_of(reader)
    assert "abc" == found["wandb.run.id"]
    assert ("trainer", "renamed", "post-training") == (
        found["service.name"],
        found["wandb.project"],
        found["team"],
    )


def test_the_resource_is_in_the_config_of_the_run(run, monkeypatch):
    """Under `otel`, less what the run knows of itself; what stands there already stays."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "trainer")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    run.config.update({"otel": {"more": {"kept": 1}}, "lr": 0.1})
    with configure(run, set_global=False) as bridge:
        bridge.log({"loss": 0.5}, step=0)
        bridge.force_flush()
    described = run.config["otel"]["resource"]
    assert ("trainer", "test") == (described["service.name"], described["deployment.environment"])
    assert "opentelemetry" == described["telemetry.sdk.name"]
    assert not [name for name in described if name.startswith("wandb.")]
    assert {"kept": 1} == run.config["otel"]["more"]
    assert 0.1 == run.config["lr"]


def test_a_run_that_refuses_its_config_gets_its_rows(run, caplog, monkeypatch):
    """It is said once."""

    def refuse(*args, **kwargs):
        raise RuntimeError("no config today")

    monkeypatch.setattr(type(run.config), "update", refuse)
    with configure(run, set_global=False) as bridge:
        bridge.log({"loss": 0.5}, step=0)
        bridge.force_flush()
        bridge.log({"loss": 0.5}, step=1)
        bridge.force_flush()
    assert 2 == len(run.rows)
    assert 1 == len([record for record in caplog.records if "no config today" in record.message])


@can_be_changed
def test_a_provider_that_was_there_before_learns_of_the_run(tmp_path):
    """And so do the tracer and the logger provider of the process: a span leads to the run."""
    source = """
    from opentelemetry import _logs, metrics, trace
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from otel_wandb_bridge import configure
    from otel_wandb_bridge.testing import FakeRun

    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader], resource=Resource({"team": "a"})))
    trace.set_tracer_provider(TracerProvider(resource=Resource({"team": "a"})))
    _logs.set_logger_provider(LoggerProvider(resource=Resource({"team": "a"})))
    tracer = trace.get_tracer("trainer")  # made before the run
    configure(FakeRun(id="abc", project="demo"))
    metrics.get_meter("trainer").create_gauge("loss").set(1)
    span = tracer.start_span("step")
    expected = {"team": "a", "wandb.run.id": "abc", "wandb.project": "demo"}
    assert expected == dict(reader.get_metrics_data().resource_metrics[0].resource.attributes)
    assert expected == dict(span.resource.attributes)
    assert expected == dict(_logs.get_logger_provider().resource.attributes)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (0, "") == (done.returncode, done.stderr)


@can_be_changed
def test_a_run_that_comes_after_configure_is_put_into_the_resource(monkeypatch, run):
    """At the first flush that finds it."""
    reader = InMemoryMetricReader()
    with configure(set_global=False, extra_readers=[reader]) as bridge:
        bridge.log({"loss": 0.5}, step=0)
        assert "wandb.run.id" not in resource_of(reader)
        monkeypatch.setattr("wandb.run", run)
        assert bridge.force_flush()
        assert "abc" == resource_of(reader)["wandb.run.id"]
        assert "resource" in run.config["otel"]


def test_where_the_resource_cannot_be_changed_it_is_said(monkeypatch, run, caplog):
    """An SDK before 1.44: how to get there all the same."""
    monkeypatch.setattr("otel_wandb_bridge.resource.update_resource", lambda provider, resource: False)
    with caplog.at_level("INFO", "otel_wandb_bridge"), configure(set_global=False) as bridge:
        monkeypatch.setattr("wandb.run", run)
        bridge.log({"loss": 0.5}, step=0)
        assert bridge.force_flush()
    assert [record for record in caplog.records if "make it after wandb.init" in record.message]


def test_a_provider_without_a_resource_is_left_alone(run):
    """The API's own provider, which does nothing."""
    from opentelemetry.metrics import NoOpMeterProvider

    from otel_wandb_bridge.resource import tell_providers

    tell_providers(run, NoOpMeterProvider())
    tell_providers(run, MeterProvider(shutdown_on_exit=False))


@can_be_changed
def test_series_go_on_where_the_run_comes_after_them(monkeypatch, run):
    """The resource that changes is no other resource: a total is not counted anew."""
    from opentelemetry.sdk.metrics.view import SumAggregation, View

    from otel_wandb_bridge import WandbMetricExporter

    exporter = WandbMetricExporter()
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)
    plain = View(instrument_name="seen", aggregation=SumAggregation())  # its points carry no measurements
    provider = MeterProvider([reader], views=[plain], shutdown_on_exit=False)
    exporter.report_to(provider)
    provider.get_meter("trainer").create_observable_counter("seen", [lambda _: [Observation(7)]])
    reader.collect()
    monkeypatch.setattr("wandb.run", run)
    reader.collect()
    reader.collect()
    exporter.force_flush()
    reader.shutdown()
    assert {7} == {row["seen"] for row in run.rows}
