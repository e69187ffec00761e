"""What the hot paths do is counted, not timed: calls and memory, which no busy machine can change.

The bounds are a little above what is true now. Whoever goes past one has made every training step dearer, and
should know why.
"""

import gc
import sys
import threading
import tracemalloc

import pytest
import wandb
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider, _Gauge
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    PeriodicExportingMetricReader,
)

from otel_wandb_bridge import WandbMetricExporter, step_views
from otel_wandb_bridge.exporter import exporter_of
from otel_wandb_bridge.record import DirectLane, Intake, ambient
from otel_wandb_bridge.testing import FakeRun
from otel_wandb_bridge.wandb_step_fix import patch_wandb_log, unpatch_wandb_log
from otel_wandb_bridge.write import shared_count

NEVER = 3_600_000
ATTRIBUTES = {"step": 7, "source": "trainer", "priority": 5}
FIVE = {f"train/key{number}": number / 7 for number in range(5)}


def calls_of(action):
    """How many functions, of Python and of C, are called until `action` is over.

    In a thread of its own: a flush of the main thread is handed to another.
    """
    count = 0

    def on_event(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    def counted():
        sys.setprofile(on_event)
        try:
            action()
        finally:
            sys.setprofile(None)

    thread = threading.Thread(target=counted)
    gc.collect()
    gc.disable()  # it would call finalizers of what other tests have left, in the midst of the action
    try:
        thread.start()
        thread.join()
    finally:
        gc.enable()
    return count - 2  # the action itself, and the end of the profile


def bytes_of(action, times):
    """How many bytes stay allocated by each of so many actions, at the least of three tries."""
    return min(_allocated(action, times) for _ in range(3)) / times


def _allocated(action, times):
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(times):
            action()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


@pytest.fixture
def reservoir():
    return Intake().reservoir(observed=False)


class ForgetfulRun(FakeRun):
    """What W&B does with a row is not counted."""

    def log(self, data, step=None, commit=None):
        pass


@pytest.fixture
def exporter(monkeypatch):
    """In a process that has not forked, whatever other tests have done: there is nobody to keep out."""
    monkeypatch.setattr(shared_count, "_has_forked", False)
    exporter = WandbMetricExporter(ForgetfulRun(), hold=0)
    yield exporter
    exporter.shutdown()


def test_an_offer_is_one_append(reservoir):
    """With attributes they are copied and looked at; without, there is nothing else to do."""
    context = Context()
    assert calls_of(lambda: reservoir.offer(0.5, 1, ATTRIBUTES, context)) <= 5
    assert calls_of(lambda: reservoir.offer(0.5, 1, None, context)) <= 4
    assert 2 == len(reservoir)


def test_an_offer_keeps_little(reservoir):
    """A tuple and a copy of the attributes."""
    context = Context()
    assert bytes_of(lambda: reservoir.offer(0.5, 1, ATTRIBUTES, context), 1_000) < 330
    assert bytes_of(lambda: reservoir.offer(0.5, 1, None, context), 1_000) < 110


def test_a_call_of_the_direct_lane_is_one_append(monkeypatch):
    """A copy of the dict, a look at the type of each value, and the time."""
    monkeypatch.setattr(ambient, "priorities_are_said", False)  # as long as nobody has said one
    lane = DirectLane({})
    assert calls_of(lambda: lane.log(FIVE, 7, "trainer", None)) <= 8
    twice_as_many = {**FIVE, **{f"{key}/max": value for key, value in FIVE.items()}}
    assert calls_of(lambda: lane.log(twice_as_many, 7, "trainer", None)) <= 8
    assert bytes_of(lambda: lane.log(FIVE, 7, "trainer", None), 1_000) < 400


def test_a_measurement_costs_the_sdk_little_more():
    """Beyond what the same call costs without exemplars."""
    delta = InMemoryMetricReader(preferred_temporality={_Gauge: AggregationTemporality.DELTA})
    ours = PeriodicExportingMetricReader(WandbMetricExporter(FakeRun()), export_interval_millis=NEVER)
    calls = {}
    for reader in (delta, ours):
        provider = MeterProvider([reader], views=step_views(), exemplar_filter=AlwaysOffExemplarFilter())
        gauge = provider.get_meter("trainer").create_gauge("loss")
        gauge.set(0.5, ATTRIBUTES)
        calls[reader] = calls_of(lambda gauge=gauge: gauge.set(0.5, ATTRIBUTES))
        provider.shutdown()
    assert calls[ours] - calls[delta] <= 6


def test_a_patched_call_is_one_append(tmp_path):
    """Besides, it says who made it and looks whether somebody else has patched `Run._log`."""
    patch_wandb_log(flush_interval=NEVER, buffer_size=100_000)
    try:
        with wandb.init(mode="offline", dir=tmp_path, settings=wandb.Settings(console="off")) as run:
            run.log(FIVE, step=0)
            assert calls_of(lambda: run.log(FIVE, step=1)) <= 30
            assert bytes_of(lambda: run.log(FIVE, step=1), 1_000) < 520
    finally:
        unpatch_wandb_log()


def test_a_row_of_twenty_measurements_takes_few_calls(exporter):
    """Decode, reconcile and write: so many for each further sample, and so many for each further row."""

    def calls(rows, samples):
        metrics_data = collected(rows, samples)
        return calls_of(lambda: exporter.export(metrics_data))

    calls(2, 20)
    a_row, two_rows, narrow = calls(101, 20), calls(201, 20), calls(101, 10)
    assert (two_rows - a_row) / 100 <= 310
    assert (a_row - narrow) / 1_010 <= 9.5
    assert exporter.stats().is_conserved()


def test_a_row_of_four_calls_takes_few_calls(exporter):
    """The same for the direct lane, where a call is read as a whole."""
    lane, steps = exporter.open_lane(), iter(range(10**6))

    def calls(rows):
        for _ in range(rows):
            step = next(steps)
            for source in ("trainer", "reward", "rollout", "evaluation"):
                lane.log({f"{source}/{key}": value for key, value in FIVE.items()}, step, source, None)
        return calls_of(exporter.collect)

    calls(2)
    assert (calls(200) - calls(100)) / 100 <= 290
    assert exporter.stats().is_conserved()


def test_a_flush_of_calls_alone_collects_nothing(tmp_path):
    """A hot loop has one every hundred calls: a collection of the SDK would cost more than its rows."""
    patch_wandb_log(flush_interval=NEVER, buffer_size=100_000)
    try:
        with wandb.init(mode="offline", dir=tmp_path, settings=wandb.Settings(console="off")) as run:
            run.log(FIVE, step=0)
            exporter = exporter_of(run)
            exporter.force_flush()
            run.log(FIVE, step=1)
            assert calls_of(exporter._flush_early) <= 300
    finally:
        unpatch_wandb_log()


_next_step = iter(range(0, 10**9, 1_000))


def collected(rows, samples):
    """What a reader collects: a gauge for each key, with an exemplar for each step."""
    exporter = WandbMetricExporter(FakeRun())
    seen = []
    exporter.export = lambda metrics_data, **_: seen.append(metrics_data)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=NEVER)
    provider = MeterProvider([reader], views=step_views())
    gauges = [provider.get_meter("trainer").create_gauge(f"key{number}") for number in range(samples)]
    first = next(_next_step)
    for step in range(first, first + rows):
        for gauge in gauges:
            gauge.set(step / 7, {"step": step, "source": "trainer"})
    reader.collect()
    provider.shutdown()
    return seen[0]
