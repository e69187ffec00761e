"""One exporter, one reader: what is given to two of them is not counted twice."""

import math

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from recorder import Recorder

from otel_wandb_bridge import WandbMetricExporter
from otel_wandb_bridge.record import INSTRUMENTS, StepAggregation
from otel_wandb_bridge.testing import FakeRun


def reader_of(exporter):
    return PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)


def recorded_by(*providers):
    for provider in providers:
        meter = provider.get_meter("trainer")
        for step in range(3):
            meter.create_counter("tokens").add(10, {"step": step})
            meter.create_histogram("latency").record(1.0, {"step": step})


@pytest.mark.parametrize("order", [list, reversed])
def test_a_second_reader_of_one_provider_adds_nothing(order, caplog):
    """Each measurement would come twice, and a counter be twice as high; it is said once, and why."""
    run = FakeRun()
    exporter = WandbMetricExporter(run)
    readers = [reader_of(exporter), reader_of(exporter)]
    provider = MeterProvider(readers, shutdown_on_exit=False)
    recorded_by(provider)
    for reader in order(readers):
        reader.collect()
    exporter.force_flush()
    assert [10, 20, 30] == [row["tokens"] for row in run.rows]
    assert [1, 1, 1] == [row["latency/count"] for row in run.rows]
    [line] = [message for message in caplog.messages if message.startswith("reader:")]
    assert "two readers of one provider have it" in line
    assert exporter.stats().is_conserved()
    exporter.shutdown()


def test_readers_of_two_providers_are_both_heard(caplog):
    """They record other instruments, though these may have the same name."""
    run = FakeRun()
    exporter = WandbMetricExporter(run)
    readers = [reader_of(exporter), reader_of(exporter)]
    recorded_by(*(MeterProvider([reader], shutdown_on_exit=False) for reader in readers))
    assert exporter.flush_everything(30_000)
    assert 60 == run.rows[-1]["tokens"]
    assert [] == [message for message in caplog.messages if message.startswith("reader:")]
    exporter.shutdown()


def test_where_the_first_reader_is_gone_the_next_is_heard():
    """Its provider has let go of it."""
    run = FakeRun()
    exporter = WandbMetricExporter(run)
    readership = exporter.readership
    first, second = readership.aggregation(), readership.aggregation()
    counter = Recorder().meter.create_counter("tokens")
    assert readership._may_record(first, counter)
    assert readership._may_record(second, counter)
    exporter.shutdown()


def test_a_reader_that_was_never_used_is_no_rival(caplog):
    """Built, thrown away or given to no provider."""
    run = FakeRun()
    exporter = WandbMetricExporter(run)
    reader_of(exporter)
    reader = reader_of(exporter)
    recorded_by(MeterProvider([reader], shutdown_on_exit=False))
    reader.collect()
    exporter.force_flush()
    assert [10, 20, 30] == [row["tokens"] for row in run.rows]
    assert [] == [message for message in caplog.messages if message.startswith("reader:")]
    exporter.shutdown()


def test_a_reader_takes_its_aggregation_once_and_by_the_name_that_we_give_it():
    """`MetricExporter._preferred_aggregation`: private, and the one moment at which readers differ."""
    asked = []

    class Asked(WandbMetricExporter):
        @property
        def _preferred_aggregation(self):
            asked.append(self)
            return super()._preferred_aggregation

        @_preferred_aggregation.setter
        def _preferred_aggregation(self, given):
            assert None is given

    exporter = Asked(FakeRun())
    reader = reader_of(exporter)
    assert [exporter] == asked, (
        "a reader no longer reads MetricExporter._preferred_aggregation once: our exporter's readers cannot "
        "be told apart, or record nothing"
    )
    MeterProvider([reader], shutdown_on_exit=False)
    chosen = set(reader._instrument_class_aggregation.values())
    assert ({StepAggregation}, 1, len(INSTRUMENTS)) == (
        set(map(type, chosen)),
        len(chosen),
        len(reader._instrument_class_aggregation),
    )
    exporter.shutdown()
