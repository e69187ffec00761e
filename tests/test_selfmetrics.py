"""What the bridge shows of itself, by the semantic conventions for the SDK's self-observability."""

import math

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, PeriodicExportingMetricReader

from otel_wandb_bridge import WandbMetricExporter, configure
from otel_wandb_bridge.testing import FakeRun

TYPE = "otel_wandb_bridge.WandbMetricExporter"


class Setup:
    """An exporter whose reader collects when told, and another reader that sees the bridge's own counts."""

    def __init__(self):
        self.run = FakeRun()
        self.other = InMemoryMetricReader()
        self.exporter = WandbMetricExporter(self.run)
        self.reader = PeriodicExportingMetricReader(self.exporter, export_interval_millis=math.inf)
        self.provider = MeterProvider([self.reader, self.other], shutdown_on_exit=False)
        self.exporter.report_to(self.provider)
        self.loss = self.provider.get_meter("trainer").create_gauge("loss")

    def seen(self, name):
        """Attributes to value (or count) of each point of a metric."""
        return {
            frozenset(point.attributes.items()): getattr(point, "value", getattr(point, "count", None))
            for resource in self.other.get_metrics_data().resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        }

    def by_error(self, name):
        """`error.type` to value."""
        return {dict(attributes).get("error.type"): value for attributes, value in self.seen(name).items()}


EXPORTED = "otel.sdk.exporter.metric_data_point.exported"
INFLIGHT = "otel.sdk.exporter.metric_data_point.inflight"
DURATION = "otel.sdk.exporter.operation.duration"


@pytest.fixture
def setup():
    setup = Setup()
    yield setup
    setup.reader.shutdown()


def test_an_export_is_counted_and_timed(setup):
    """In data points and seconds; nothing is in flight afterwards."""
    setup.loss.set(0.5, {"step": 0})
    setup.reader.collect()
    exported = setup.by_error(EXPORTED)
    assert [None] == [*exported]
    assert exported[None] > 1  # the bridge's own points are points, too
    assert {None: 0} == setup.by_error(INFLIGHT)
    assert {None: 1} == setup.by_error(DURATION)


def test_every_point_says_which_exporter_it_is(setup):
    """`otel.component.name` is the type and a number within the process."""
    setup.loss.set(0.5, {"step": 0})
    setup.reader.collect()
    for name in (EXPORTED, INFLIGHT, DURATION, "otel_wandb_bridge.samples", "otel_wandb_bridge.rows"):
        for attributes in map(dict, setup.seen(name)):
            assert TYPE == attributes["otel.component.type"]
            kind, number = attributes["otel.component.name"].rsplit("/", 1)
            assert TYPE == kind
            assert number.isdigit()


def test_points_of_a_failed_export_are_in_flight_until_they_are_written(setup):
    """They wait, and are tried again: they have not failed. The duration says what went wrong."""
    setup.run.fail_next(1, ConnectionError("no service"))
    setup.loss.set(0.5, {"step": 0})
    setup.loss.set(0.5, {"step": 1})
    setup.reader.collect()
    waiting = setup.by_error(INFLIGHT)[None]
    assert waiting > 0
    assert {None: 0} == setup.by_error(EXPORTED)
    assert {"ConnectionError": 1} == setup.by_error(DURATION)
    setup.reader.collect()
    assert {None: 0} == setup.by_error(INFLIGHT)
    assert setup.by_error(EXPORTED)[None] > waiting
    assert {"ConnectionError": 1, None: 1} == setup.by_error(DURATION)


def test_another_flush_that_writes_what_failed_ends_the_wait(setup):
    """That of the run's finish, say."""
    setup.run.fail_next(1, ConnectionError("no service"))
    setup.loss.set(0.5, {"step": 0})
    setup.loss.set(0.5, {"step": 1})
    setup.reader.collect()
    waiting = setup.by_error(INFLIGHT)[None]
    assert setup.exporter.force_flush()
    assert {None: 0} == setup.by_error(INFLIGHT)
    assert {None: waiting} == setup.by_error(EXPORTED)


def test_what_comes_after_the_shutdown_has_failed_for_good(setup):
    """Nobody will write it."""
    setup.exporter.shutdown()
    setup.loss.set(0.5, {"step": 0})
    setup.reader.collect()
    exported = setup.by_error(EXPORTED)
    assert exported.pop(None) == 0
    assert ["already_shutdown"] == [*exported]
    assert {None: 0} == setup.by_error(INFLIGHT)


def test_a_second_report_to_the_same_provider_changes_nothing(setup, caplog):
    """The SDK would warn of two instruments of one name."""
    setup.exporter.report_to(setup.provider)
    assert [] == caplog.records


def test_what_the_bridge_records_of_itself_waits_nowhere(setup):
    """The duration of an export is no sample of the next."""
    setup.loss.set(0.5, {"step": 0})
    setup.reader.collect()
    setup.exporter.force_flush()
    assert 0 == setup.exporter.stats().pending
    assert 1 == setup.exporter.stats().recorded


def test_nothing_of_it_is_written_to_the_run(setup):
    """Unless it is asked for."""
    for step in range(3):
        setup.loss.set(0.5, {"step": step})
        setup.reader.collect()
    setup.exporter.force_flush()
    written = {key for row in setup.run.rows for key in row}
    assert {"_step", "_timestamp", "global_step", "loss"} == written


def test_two_exporters_of_one_provider_are_told_apart():
    """Each is a component of its own."""
    other = InMemoryMetricReader()
    with configure(FakeRun(), set_global=False, extra_readers=[other]) as bridge:
        second = WandbMetricExporter(FakeRun(id="second"))
        second.report_to(bridge.meter_provider)
        bridge.force_flush()
        names = {
            point.attributes["otel.component.name"]
            for resource in other.get_metrics_data().resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == EXPORTED
            for point in metric.data.data_points
        }
        second.shutdown()
    assert 2 == len(names)


def test_they_are_written_to_the_run_where_one_asks_for_it():
    """They ride on the rows of the steps, and hold none back."""
    run = FakeRun()
    with configure(run, set_global=False, self_metrics=True) as bridge:
        for step in range(3):
            bridge.meter_provider.get_meter("trainer").create_gauge("loss").set(0.5, {"step": step})
        assert bridge.force_flush()
        assert bridge.stats().is_conserved()
    assert [0, 1, 2] == [row["global_step"] for row in run.rows if "loss" in row]
    written = {key for row in run.rows for key in row}
    assert any(key.startswith("otel_wandb_bridge/samples/") for key in written)
    assert any(key.startswith("otel/sdk/exporter/metric_data_point/exported/") for key in written)
