"""What OpenTelemetry's auto-configuration makes of its variables."""

import logging
import threading

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from otel_wandb_bridge.testing import FakeRun

entry_points = pytest.importorskip("opentelemetry.util._importlib_metadata").entry_points


def loaded(group, name="wandb"):
    (entry_point,) = entry_points(group=group, name=name)
    return entry_point.load()


@pytest.fixture
def exporter_class():
    """What `OTEL_METRICS_EXPORTER=wandb` stands for."""
    return loaded("opentelemetry_metrics_exporter")


@pytest.fixture
def rows_of_a_reader_without_interval(exporter_class):
    """The rows that come of one measurement, by themselves; the reader has the SDK's own interval."""

    class Awaited(FakeRun):
        def __init__(self):
            super().__init__()
            self.has_rows = threading.Event()

        def log(self, data, step=None, commit=None):
            super().log(data, step=step, commit=commit)
            self.has_rows.set()

    def rows():
        run = Awaited()
        provider = MeterProvider(
            [PeriodicExportingMetricReader(exporter_class(run=run))], shutdown_on_exit=False
        )
        provider.get_meter("trainer").create_gauge("loss").set(0.5)
        assert run.has_rows.wait(20)
        rows = [*run.rows]
        provider.shutdown()
        return rows

    return rows


@pytest.fixture
def periods(exporter_class, monkeypatch):
    """The seconds between the flushes that the exporter makes by itself, one for each that is made."""
    periods = []
    monkeypatch.setattr(exporter_class, "flush_every", lambda _, seconds: periods.append(seconds))
    return periods


def test_the_exporter_is_a_class_that_needs_no_arguments(exporter_class):
    """As the auto-configuration wants it; what it has of options is the environment's."""
    assert issubclass(exporter_class, MetricExporter)
    exporter = exporter_class()
    assert "keep" == exporter.options.policy.late
    exporter.shutdown()


def test_options_are_keyword_arguments(exporter_class):
    """As a configuration file has them."""
    exporter = exporter_class(step_metric="train/step", priorities={"trainer": 0}, hold=3)
    assert ("train/step", {"trainer": 0}, 3.0) == (
        exporter.options.step_metric,
        exporter.options.priorities,
        exporter.options.policy.hold,
    )
    exporter.shutdown()


@pytest.mark.parametrize("options", [{"hold": "soon"}, {"holt": 1}])
def test_an_option_that_cannot_be_used_is_raised_and_logged(exporter_class, options, caplog, monkeypatch):
    """The auto-configuration swallows what is raised."""
    at_exit = []
    monkeypatch.setattr("atexit.register", lambda *call: at_exit.append(call))
    with pytest.raises((TypeError, ValueError), match=next(iter(options))):
        exporter_class(**options)
    (record,) = caplog.records
    assert logging.ERROR == record.levelno
    assert next(iter(options)) in record.message
    assert "Nothing that this program measures is written to W&B" in record.message
    ((log, *arguments),) = at_exit
    log(*arguments)
    assert record.message == caplog.records[1].message


def test_it_flushes_every_two_seconds_where_nobody_says_how_often(rows_of_a_reader_without_interval):
    """The SDK's own default is a minute."""
    assert [0.5] == [row["loss"] for row in rows_of_a_reader_without_interval()]


@pytest.mark.parametrize(
    ("variable", "value"), [("OTEL_METRIC_EXPORT_INTERVAL", "60000"), ("OTEL_CONFIG_FILE", "otel.yaml")]
)
def test_who_says_how_often_is_obeyed(exporter_class, periods, monkeypatch, variable, value):
    """The variable, and the file, which says it by itself."""
    exporter_class(run=FakeRun()).shutdown()
    monkeypatch.setenv(variable, value)
    exporter_class(run=FakeRun()).shutdown()
    assert [2.0] == periods


def test_the_interval_of_the_environment_is_the_readers(rows_of_a_reader_without_interval, monkeypatch):
    """`OTEL_METRIC_EXPORT_INTERVAL` keeps its meaning."""
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
    assert [0.5] == [row["loss"] for row in rows_of_a_reader_without_interval()]


def test_the_detector_knows_the_run_that_the_environment_names(monkeypatch):
    """Sweeps and launchers set `WANDB_RUN_ID` before the program starts."""
    monkeypatch.setenv("WANDB_RUN_ID", "abc")
    monkeypatch.setenv("WANDB_PROJECT", "demo")
    monkeypatch.setenv("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "otel,wandb")
    found = Resource.create().attributes
    assert ("abc", "demo") == (found["wandb.run.id"], found["wandb.project"])
    assert "wandb.entity" not in found


def test_the_detector_knows_the_run_that_is_there(monkeypatch):
    """It goes before what the environment says."""
    monkeypatch.setenv("WANDB_PROJECT", "another")
    monkeypatch.setattr("wandb.run", FakeRun(id="abc", project="demo", entity="team"))
    found = loaded("opentelemetry_resource_detector")().detect().attributes
    assert {"wandb.run.id": "abc", "wandb.project": "demo", "wandb.entity": "team"} == dict(found)
