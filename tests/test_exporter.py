"""The whole road in memory: instruments on a real provider, a run with W&B's own rules."""

import logging
import math
import threading

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View

from otel_wandb_bridge import WandbMetricExporter, set_step, training_step
from otel_wandb_bridge.flush.pipeline import Pipeline
from otel_wandb_bridge.options import resolve
from otel_wandb_bridge.records import Sample
from otel_wandb_bridge.sources import Process
from otel_wandb_bridge.testing import FakeClock, FakeRun


class Road:
    """An exporter on a provider of its own, collected by hand."""

    def __init__(self, run=None, **options):
        self.run = FakeRun() if run is None else run
        self.clock = FakeClock(100.0)
        self.exporter = WandbMetricExporter(self.run, clock=self.clock, **options)
        self.reader = PeriodicExportingMetricReader(self.exporter, export_interval_millis=math.inf)
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)

    def gauge(self, name, source="trainer"):
        return self.provider.get_meter(source).create_gauge(name)

    @property
    def stats(self):
        stats = self.exporter.stats()
        assert stats.is_conserved(), stats
        return stats

    def rows(self):
        return [
            (row["global_step"], {key: row[key] for key in row if key[:1] != "_"}) for row in self.run.rows
        ]


def said(caplog):
    """What the bridge has logged; the SDK speaks for itself."""
    return [record.getMessage() for record in caplog.records if record.name == "otel_wandb_bridge"]


@pytest.fixture
def road():
    road = Road()
    yield road
    road.exporter.shutdown()


def test_the_sources_of_one_step_meet_in_one_row(road):
    """Whoever they are, and however late they are, before the row is due."""
    road.gauge("loss").set(1.0, {"step": 0})
    road.gauge("loss").set(2.0, {"step": 1})
    road.gauge("reward", "reward").set(0.5, {"step": 0})
    road.reader.collect()
    assert [] == road.run.rows
    road.gauge("reward", "reward").set(0.6, {"step": 1})
    road.reader.collect()
    assert [(0, {"loss": 1.0, "reward": 0.5, "global_step": 0})] == road.rows()
    assert 2 == road.stats.pending


def test_a_force_flush_commits_everything_in_order(road):
    """The reader's own, as `MeterProvider.force_flush` calls it."""
    for step in (3, 1, 2):
        road.gauge("loss").set(float(step), {"step": step})
    road.provider.force_flush()
    assert [1, 2, 3] == [step for step, _ in road.rows()]
    assert 3 == road.run.calls


def test_the_ambient_step_is_taken_when_the_measurement_is_recorded(road):
    """Not when it is collected."""
    loss = road.gauge("loss")
    with training_step(4):
        loss.set(4.0)
    set_step(5)
    loss.set(5.0)
    set_step(6)
    road.provider.force_flush()
    assert [(4, 4.0), (5, 5.0)] == [(step, values["loss"]) for step, values in road.rows()]


def test_measurements_after_the_collection_began_wait_for_the_next(road, monkeypatch):
    """Else a step caught in one series would close the row that another series has yet to fill."""
    first, second = road.gauge("first"), road.gauge("second")
    first.set(0.0, {"step": 0})
    from opentelemetry.sdk.metrics._internal import _view_instrument_match as sdk

    collect = sdk._ViewInstrumentMatch.collect

    def collect_while_recording(match, *args):
        points = collect(match, *args)
        if match._name == "first" and threading.current_thread() is threading.main_thread():
            monkeypatch.undo()  # the trainer goes on: the series visited next has both, this one neither
            first.set(1.0, {"step": 1})
            second.set(1.0, {"step": 1})
            second.set(2.0, {"step": 2})
        return points

    second.set(0.0, {"step": 0})
    monkeypatch.setattr(sdk._ViewInstrumentMatch, "collect", collect_while_recording)
    road.reader.collect()
    road.reader.collect()
    road.provider.force_flush()
    assert 0 == road.stats.late
    assert [(0, 0.0, 0.0), (1, 1.0, 1.0)] == [
        (step, values["first"], values["second"]) for step, values in road.rows()[:2]
    ]


def test_run_log_that_raises_loses_nothing_and_keeps_the_order(road, caplog):
    """The row stays pending and is tried again at the next flush."""
    loss = road.gauge("loss")
    for step in range(4):
        loss.set(float(step), {"step": step})
    road.run.fail_next(2, ConnectionError("service gone"))
    road.reader.collect()
    loss.set(4.0, {"step": 4})
    road.reader.collect()
    assert [] == road.run.rows
    assert 2 == road.stats.failed_flushes
    loss.set(5.0, {"step": 5})
    road.reader.collect()
    assert [0, 1, 2, 3, 4] == [step for step, _ in road.rows()]
    assert 1 == len(said(caplog))


def test_a_writer_that_keeps_failing_sheds_the_lowest_priorities_past_max_pending():
    """Memory is bounded; what is shed is counted. A row that is on its way to W&B stays whole."""
    road = Road(max_pending=10, priorities={"debug": 10, "trainer": 0})
    road.run.fail_next(1_000, ConnectionError("gone"))
    for step in range(20):
        road.gauge("loss").set(1.0, {"step": step})
        road.gauge("noise", "debug").set(1.0, {"step": step})
        road.reader.collect()
    stats = road.stats
    assert 10 >= stats.pending > 0
    assert 0 < stats.shed == 40 - stats.pending
    road.run._failures.clear()
    road.exporter.shutdown()
    (first, *others) = [values.keys() - {"global_step"} for _, values in road.rows()]
    assert {"loss", "noise"} == first
    assert all({"loss"} == keys for keys in others)


def test_a_fast_loop_with_a_sparse_source_loses_nothing():
    """The lowest rows are committed early; the sparse source's late value keeps its step."""
    road = Road(max_pending=50)
    road.gauge("accuracy", "evaluator").set(0.0, {"step": 0})
    for step in range(1_000):
        road.gauge("loss").set(float(step), {"step": step})
        if step % 20 == 0:
            road.reader.collect()
    road.gauge("accuracy", "evaluator").set(0.5, {"step": 500})
    road.exporter.force_flush()
    road.provider.force_flush()
    stats = road.stats
    assert (1_002, 0, 0) == (stats.written, stats.shed, stats.pending)
    assert (500, 0.5) in [(step, values.get("accuracy")) for step, values in road.rows()]


def test_a_row_that_waits_for_hold_is_committed_when_it_ends(road):
    """By the clock that was injected."""
    road.gauge("accuracy", "evaluator").set(0.5, {"step": 0})
    road.gauge("loss").set(0.0, {"step": 0})
    road.gauge("loss").set(1.0, {"step": 1})
    road.reader.collect()
    assert [] == road.run.rows
    road.clock.advance(10.0)
    road.exporter.collect()
    road.gauge("loss").set(1.5, {"step": 1})
    road.reader.collect()
    assert [0] == [step for step, _ in road.rows()]


def test_the_run_that_finishes_takes_the_last_interval_with_it(road):
    """The exporter finds its reader by itself, and has it collect."""
    road.gauge("loss").set(1.0, {"step": 7})
    road.run.finish()
    assert [(7, {"loss": 1.0, "global_step": 7})] == road.rows()


def test_what_is_recorded_after_the_run_is_counted_and_said_once(road, caplog):
    """There is no run that it could go to."""
    caplog.set_level(logging.INFO)  # where another exporter has a run, nobody misses it
    road.run.finish()
    for step in range(3):
        road.gauge("loss").set(1.0, {"step": step})
        road.reader.collect()
    assert {"finished": 3} == dict(road.stats.rejected_reasons)
    assert 1 == len(said(caplog))


def test_what_is_recorded_after_shutdown_is_counted_and_said_once(road, caplog):
    """An exporter that was shut down takes nothing in."""
    road.exporter.shutdown()
    road.gauge("loss").set(1.0, {"step": 0})
    road.reader.collect()
    assert {"shutdown": 1} == dict(road.stats.rejected_reasons)
    assert 1 == len(said(caplog))


@pytest.mark.parametrize("flush", ["_flush_early", "collect", "force_flush"])
def test_no_flush_takes_what_has_come_into_the_lane_too_late(road, flush):
    """Somebody may have been on the way there: it is his to take back, and to send elsewhere."""
    lane = road.exporter.open_lane()
    road.exporter.shutdown()
    lane.log({"loss": 1.0}, 0, None, None)
    getattr(road.exporter, flush)()
    assert 1 == lane.entries


def test_the_shutdown_of_the_provider_commits_everything(road):
    """The last collection, then all that waits."""
    road.gauge("loss").set(1.0, {"step": 0})
    reader = PeriodicExportingMetricReader(road.exporter, export_interval_millis=3_600_000)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("other").create_gauge("other").set(1.0, {"step": 0})
    provider.shutdown()
    assert [0] == [step for step, _ in road.rows()]


def test_a_bad_step_never_reaches_the_caller(road, caplog):
    """It is counted with its reason and logged once for the instrument."""
    loss = road.gauge("loss")
    for bad in (True, -1, float("nan"), "abc", 1.5):
        loss.set(1.0, {"step": bad})
    road.provider.force_flush()
    assert {"step": 5} == dict(road.stats.rejected_reasons)
    assert 1 == len(said(caplog))


def test_a_bad_priority_costs_the_priority_and_not_the_value(road):
    """The default is used."""
    road.gauge("loss").set(1.0, {"step": 0, "priority": "urgent"})
    road.provider.force_flush()
    assert [(0, {"loss": 1.0, "global_step": 0})] == road.rows()


def test_priorities_by_source_decide(road):
    """Unless the measurement says its own."""
    road = Road(priorities={"trainer": 0})
    road.gauge("loss").set(1.0, {"step": 0})
    road.gauge("loss", "callback").set(2.0, {"step": 0})
    road.gauge("lr", "callback").set(3.0, {"step": 0, "priority": 0})
    road.gauge("lr").set(4.0, {"step": 0, "priority": 9})
    road.provider.force_flush()
    assert [(0, {"loss": 1.0, "lr": 3.0, "global_step": 0})] == road.rows()
    assert 2 == road.stats.overridden


def test_a_key_that_is_the_axis_is_refused(road):
    """It would be taken for the step."""
    road.gauge("global_step").set(3.0, {"step": 0})
    road.provider.force_flush()
    assert {"axis": 1} == dict(road.stats.rejected_reasons)


def test_the_naming_can_be_replaced():
    """It is one small function."""
    road = Road(naming=lambda name, attributes: name.upper() + "".join(sorted(attributes)))
    road.gauge("loss").set(1.0, {"step": 0, "rank": 3})
    road.provider.force_flush()
    assert ["LOSSrank"] == [key for key in road.rows()[0][1] if key != "global_step"]


def test_two_exporters_of_one_run_are_refused(road):
    """They would use up each other's steps; the error says what to do."""
    with pytest.raises(ValueError, match=r"already has a bridge.*shut that one down first"):
        WandbMetricExporter(road.run)
    road.exporter.shutdown()
    WandbMetricExporter(road.run).shutdown()


def test_a_finished_run_is_refused():
    """At construction, by name."""
    run = FakeRun(id="abc123")
    run.finish()
    with pytest.raises(ValueError, match=r"abc123.*finished"):
        WandbMetricExporter(run)


def test_nothing_is_logged_where_all_is_well(road, caplog):
    """A quiet run is a quiet log."""
    caplog.set_level(logging.INFO, "otel_wandb_bridge")
    road.gauge("loss").set(1.0, {"step": 0})
    road.provider.force_flush()
    road.run.finish()
    assert [] == said(caplog)


def test_an_interrupted_flush_loses_nothing():
    """Ctrl-C in the middle of it: what was collected is kept and written the next time."""
    road = Road()
    loss = road.gauge("loss")
    for step in range(100):
        loss.set(float(step), {"step": step})
    road.run.fail_next(1, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        road.reader.collect()
    assert 100 == road.stats.pending
    road.exporter.shutdown()
    assert list(range(100)) == [step for step, _ in road.rows()]


def test_a_cancelled_task_in_run_log_does_not_end_the_reader(road):
    """It is one more failure, and tried again."""
    import asyncio

    road.gauge("loss").set(0.0, {"step": 0})
    road.gauge("loss").set(1.0, {"step": 1})
    road.run.fail_next(1, asyncio.CancelledError)
    road.reader.collect()
    assert 1 == road.stats.failed_flushes
    road.exporter.force_flush()
    assert [0, 1] == [step for step, _ in road.rows()]


def test_a_run_that_is_finished_in_the_middle_of_a_flush_does_not_hang(road, caplog):
    """As a signal handler does it, in the very thread that flushes."""
    loss, log = road.gauge("loss"), road.run.log

    def log_and_finish(data, step=None, commit=None):
        log(data, step=step, commit=commit)
        if step == 1:
            road.run.finish()

    road.run.log = log_and_finish
    for step in range(4):
        loss.set(float(step), {"step": step})
    road.provider.force_flush()
    assert [0, 1] == [step for step, _ in road.rows()]
    assert "from within a flush" in caplog.text
    assert 0 == road.exporter.stats().pending


def test_what_was_deferred_is_written_though_nothing_follows(road):
    """The reader exports nothing where nothing is new; the flusher's own flush takes it in."""
    from otel_wandb_bridge.records import Sample

    road.exporter._pipeline.take([], until=0.0)
    waiting = [Sample("trainer", step, "loss", 1.0, 5, 10.0) for step in (0, 1)]
    road.exporter._pipeline.ledger.recorded += 2
    road.exporter._pipeline.take(waiting, until=5.0)
    assert [] == road.run.rows
    assert road.exporter._pipeline.deadline() is not None
    road.exporter._flush_early()
    assert [0] == [step for step, _ in road.rows()]


def test_a_step_whose_text_cannot_be_read_takes_nothing_else_with_it(road):
    """It is rejected with a reason."""

    class Hostile(str):
        def strip(self, *_):
            raise RuntimeError

    loss = road.gauge("loss")
    loss.set(0.0, {"step": 0})
    loss.set(1.0, {"step": Hostile("4")})
    road.provider.force_flush()
    assert [(0, {"loss": 0.0, "global_step": 0})] == road.rows()
    assert {"step": 1} == dict(road.stats.rejected_reasons)


def test_a_flush_with_a_timeout_keeps_it(road):
    """And says that it is not through."""
    log, moments = road.run.log, iter(range(10_000))

    def slow(data, step=None, commit=None):
        next(moments)
        threading.Event().wait(0.02)
        log(data, step=step, commit=commit)

    road.run.log = slow
    for step in range(500):
        road.gauge("loss").set(1.0, {"step": step})
    road.reader.collect(timeout_millis=60)
    assert not road.exporter.force_flush(60)
    assert 0 < len(road.run.rows) < 100
    road.run.log = log


def test_an_instrument_without_a_step_is_told_what_becomes_of_it(road, caplog):
    """Once, where a measurement gave way to a later one."""
    for value in range(5):
        road.gauge("loss").set(float(value))
    road.provider.force_flush()
    assert 4 == road.stats.overridden
    assert ["training_step" in line for line in said(caplog)] == [True]


def test_the_counters_of_a_resumed_run_go_on_from_its_summary():
    """Or show what came at each step, where that was chosen."""
    run = FakeRun(starting_step=10)
    run.summary.update({"tokens": 5000, "requests": 70})
    road = Road(run, counters={"requests": "increment"})
    for name in ("tokens", "requests"):
        counter = road.provider.get_meter("trainer").create_counter(name)
        for step in (10, 11):
            counter.add(8, {"step": step})
    road.provider.force_flush()
    assert [(5008, 8), (5016, 8)] == [(row["tokens"], row["requests"]) for row in run.rows]
    road.exporter.shutdown()


@pytest.mark.parametrize(("expected", "rows"), [(None, 0), (0, 2), (1, 2), (["trainer"], 2), (["reward"], 0)])
def test_the_ranks_of_a_job_are_waited_for_unless_it_is_said_who_is(expected, rows):
    """`expected_sources=0`: nobody."""
    run = FakeRun()
    options = resolve(hold=60.0, expected_sources=expected)
    pipeline = Pipeline(run, options, FakeClock())
    process = Process("job", rank=0, world_size=2)
    pipeline.join_job(process)
    pipeline.take([Sample(process.source("trainer"), step, "loss", 0.5, 5, float(step)) for step in range(3)])
    assert rows == len(run.rows)


def test_a_process_that_has_reported_already_does_not_become_a_rank():
    """What it is called stays, and nothing that waits is lost."""
    run = FakeRun()
    pipeline = Pipeline(run, resolve(hold=60.0), FakeClock())
    pipeline.take([Sample("trainer", 0, "loss", 0.5, 5, 0.0)])
    pipeline.join_job(Process("job", rank=0, world_size=2))
    pipeline.take([Sample("trainer", 1, "loss", 0.5, 5, 1.0)])
    pipeline.commit(everything=True)
    assert [0, 1] == [row["global_step"] for row in run.rows]


@pytest.mark.parametrize(("expected", "rows"), [(None, 0), (0, 2), (1, 2)])
def test_a_receiver_learns_from_the_ranks_how_many_they_are(expected, rows):
    """Where it is no rank itself, and nobody said who is expected."""
    run = FakeRun()
    pipeline = Pipeline(run, resolve(hold=60.0, expected_sources=expected), FakeClock())
    pipeline.join_job(Process("serve"))
    source = Process("job", rank=0, world_size=2).source("trainer")
    pipeline.receive([Sample(source, step, "loss", 0.5, 5, float(step)) for step in range(3)])
    assert rows == len(run.rows)


def test_single_failures_at_the_end_cost_nothing():
    """What can be written is written, as long as something is."""
    road = Road()
    log, calls = road.run.log, iter(range(10_000))

    def flaky(values, step=None, commit=None):
        if next(calls) % 7 == 3:
            raise ConnectionError("for a moment")
        log(values, step=step, commit=commit)

    road.run.log = flaky
    loss = road.gauge("loss")
    for step in range(100):
        loss.set(step / 2, {"step": step})
    road.run.finish()
    assert [step / 2 for step in range(100)] == [row["loss"] for row in road.run.rows]
    assert 0 == road.stats.shed


def test_what_waits_for_a_failing_writer_is_bounded_however_much_comes_at_once():
    """By `max_pending`, and a row that is on its way."""
    road = Road(max_pending=10)
    road.run.fail_next(1_000, ConnectionError("gone"))
    loss, noise = road.gauge("loss"), road.gauge("noise")
    for step in range(100):
        loss.set(1.0, {"step": step})
        noise.set(1.0, {"step": step})
    road.reader.collect()
    assert road.stats.pending <= 10
    road.run._failures.clear()
    road.exporter.shutdown()


def test_a_sample_that_was_refused_has_one_end_while_its_row_waits():
    """It is rejected, and neither pending nor written."""
    run = FakeRun()
    exporter = WandbMetricExporter(run, histograms="std")
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)
    buckets = View(instrument_name="latency", aggregation=ExplicitBucketHistogramAggregation())
    provider = MeterProvider([reader], views=[buckets], shutdown_on_exit=False)
    run.fail_next(1_000, ConnectionError("gone"))
    provider.get_meter("m").create_histogram("latency").record(3.0)
    provider.get_meter("m").create_gauge("loss").set(1.0)
    provider.force_flush(500)
    stats = exporter.stats()
    assert (2, 0, 1, 1) == (stats.recorded, stats.written, stats.rejected, stats.pending)
    run._failures.clear()
    exporter.shutdown()
    stats = exporter.stats()
    assert (1, 1, 0) == (stats.written, stats.rejected, stats.shed)


def test_what_is_gathered_for_a_flush_does_not_fill_up():
    """Whoever hands it in would wait for room, and the flush for them."""
    pipeline = Pipeline(FakeRun(), resolve(max_pending=10), FakeClock())
    pipeline.is_gathering = True
    pipeline.receive([Sample("reward", 0, "reward", 0.5, 5, 0.0)])
    assert 1 == pipeline.pending
    for step in range(100):
        pipeline.receive([Sample("trainer", step, "loss", 0.5, 5, float(step))])
        assert not pipeline.is_full
