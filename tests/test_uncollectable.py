"""An instrument that the SDK cannot collect, and by which it collects no other: left out, by name."""

import math
import threading

import pytest
from foreign_aggregation import ForeignAggregation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import View

from otel_wandb_bridge import WandbMetricExporter, step_views
from otel_wandb_bridge.flush import flushing
from otel_wandb_bridge.reader import BridgeReader
from otel_wandb_bridge.testing import FakeRun

LINE = "aggregation: instrument 'latency': the SDK does not know the aggregation of its view, and cannot"


def ours(exporter, interval=math.inf):
    return BridgeReader(exporter, interval, exporter.leave_out)


class Program:
    """A provider with a view that no SDK can collect, and rows of all else."""

    def __init__(self, reader_for, views=()):
        self.run = FakeRun()
        self.exporter = WandbMetricExporter(self.run)
        self.reader = reader_for(self.exporter)
        views = [View(instrument_name="latency", aggregation=ForeignAggregation()), *views]
        provider = MeterProvider([self.reader], views=views, shutdown_on_exit=False)
        self.meter = provider.get_meter("trainer")
        self.latency, self.tokens = (
            self.meter.create_histogram("latency"),
            self.meter.create_counter("tokens"),
        )

    def record(self, step):
        self.latency.record(3, {"step": step})
        self.tokens.add(7, {"step": step})

    @property
    def rows(self):
        return [(row["global_step"], row["tokens"]) for row in self.run.rows]


def kept_open(exporter):
    return PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)


@pytest.mark.parametrize("views", [[], step_views()], ids=["", "step views"])
@pytest.mark.parametrize("reader_for", [ours, kept_open], ids=["ours", "the SDK's"])
def test_an_instrument_that_comes_first_and_cannot_be_collected_keeps_no_other_from_its_row(
    reader_for, views, caplog
):
    """Where the SDK raises: said once, by name, with what to do; counted; and all else arrives."""
    program = Program(reader_for, views)
    for step in range(3):
        program.record(step)
        program.exporter.collect()
    assert program.exporter.flush_everything(10_000)
    assert [(0, 7), (1, 14), (2, 21)] == program.rows
    stats = program.exporter.stats()
    assert {"aggregation": 1} == stats.rejected_reasons
    assert stats.is_conserved()
    (line,) = [message for message in caplog.messages if "aggregation" in message]
    assert line.startswith(LINE)
    program.exporter.shutdown()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_thread_of_a_reader_that_ends_by_it_is_not_missed(monkeypatch):
    """That of a reader of the SDK's own dies of the first failure; the rows are written all the same."""
    monkeypatch.setattr(flushing, "_CAREFUL_SECONDS", 0.05)
    program = Program(lambda exporter: PeriodicExportingMetricReader(exporter, export_interval_millis=1))
    written = threading.Event()
    log = program.run.log

    def logged(*arguments, **options):
        log(*arguments, **options)
        written.set()

    monkeypatch.setattr(program.run, "log", logged)
    for step in range(1000):
        program.record(step)
    assert written.wait(20)
    program.exporter.shutdown()
    program.reader.shutdown()


def test_what_fails_for_another_reason_fails_as_before(caplog):
    """Nothing is left out for it."""
    program = Program(ours)
    del program.latency

    def fail(timeout_millis):
        raise RuntimeError("out of order")

    program.reader._collect = lambda *_, timeout_millis: fail(timeout_millis)
    assert not program.exporter.collect()
    assert "out of order" in caplog.text
    assert {} == program.exporter.stats().rejected_reasons
    program.exporter.shutdown()
