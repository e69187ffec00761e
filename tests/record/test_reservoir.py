"""The reservoir keeps every measurement, exactly once, as it was when it was recorded."""

import os
import sys
import threading
import time
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.metrics.export import AggregationTemporality
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation
from opentelemetry.sdk.trace import TracerProvider
from recorder import Recorder, points_of

from otel_wandb_bridge.attributes import OBSERVED, PRIORITY, SETTLED_STEP, SHED
from otel_wandb_bridge.record import Intake, set_step, step_view, step_views
from otel_wandb_bridge.record.reservoir import KeepAllReservoir

NOWHERE = Context()


def offer(reservoir, *values, **attributes):
    for value in values:
        reservoir.offer(value, 1, attributes, NOWHERE)


def kept(exemplars):
    """The values of the exemplars that stand for measurements."""
    return [e.value for e in exemplars if e.filtered_attributes[SETTLED_STEP] is not True]


def shed(exemplars):
    """How many measurements the exemplars say were not kept."""
    return sum(e.filtered_attributes.get(SHED, 0) for e in exemplars)


def test_everything_is_kept_in_order_and_once():
    """A collection empties the reservoir."""
    reservoir = KeepAllReservoir()
    offer(reservoir, *range(1000))
    assert 1000 == len(reservoir)
    assert list(range(1000)) == kept(reservoir.collect({}))
    assert [] == kept(reservoir.collect({}))


def test_an_exemplar_carries_time_value_and_what_the_series_lacks():
    """Attributes that identify the series are left to it, and `step` became the settled one."""
    reservoir = KeepAllReservoir()
    measured = {"step": 3, "rank": 1, "source": "trainer", "priority": 2, "phase": "warm-up"}
    reservoir.offer(0.5, 42, measured, NOWHERE)
    [exemplar] = reservoir.collect({"rank": 1, "source": "trainer"})
    assert {SETTLED_STEP: 3, "priority": 2, "phase": "warm-up"} == exemplar.filtered_attributes
    assert (0.5, 42) == (exemplar.value, exemplar.time_unix_nano)


def test_unstepped_is_said():
    """So that an exemplar of ours is told from one that another reservoir sampled."""
    reservoir = KeepAllReservoir()
    offer(reservoir, 1.0)
    [exemplar] = reservoir.collect({})
    assert {SETTLED_STEP: False} == exemplar.filtered_attributes


def test_an_empty_reservoir_marks_its_point_as_ours():
    """Else the aggregate of a cumulative series would be taken for news at every collection."""
    [exemplar] = KeepAllReservoir().collect({"rank": 1})
    assert {SETTLED_STEP: True} == exemplar.filtered_attributes


def test_readings_of_observables_are_marked():
    """Their values are totals, not increments."""
    reservoir = KeepAllReservoir(observed=True)
    offer(reservoir, 1.0, step=1)
    [exemplar] = reservoir.collect({})
    assert {SETTLED_STEP: 1, OBSERVED: True} == exemplar.filtered_attributes


def test_an_exemplar_names_the_span_it_was_recorded_in():
    """As the exemplars of the SDK do."""
    recorder = Recorder()
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("trainer")
    gauge = recorder.meter.create_gauge("loss")
    with tracer.start_as_current_span("step") as span:
        gauge.set(1.0)
    gauge.set(2.0)
    inside, outside = recorder.exemplars()
    assert span.get_span_context().span_id == inside.span_id
    assert span.get_span_context().trace_id == inside.trace_id
    assert not outside.span_id


@pytest.mark.parametrize("views", [(), step_views()], ids=["labels", "views"])
def test_a_dict_that_is_reused_changes_nothing(views):
    """Before 1.45.0 the SDK hands on the caller's own dict, to the series as well as to the reservoir."""
    recorder = Recorder(views=views)
    gauge = recorder.meter.create_gauge("loss")
    attributes = {}
    for rank in range(3):
        attributes.update(step=rank, rank=rank, source=f"trainer {rank}")
        gauge.set(float(rank), attributes)
    attributes.update(step=100, rank=100, source="somebody else")
    said = {
        exemplar.value: (point.attributes["rank"], point.attributes["source"], exemplar.filtered_attributes)
        for _, point in points_of(recorder.reader)
        for exemplar in point.exemplars
    }
    assert {float(rank): (rank, f"trainer {rank}", {SETTLED_STEP: rank}) for rank in range(3)} == said


def test_a_step_that_is_counted_in_place_changes_nothing():
    """Trainers keep `global_step` in an array or tensor, and add to it."""
    reservoir = KeepAllReservoir()
    step = np.array(1)
    reservoir.offer(0.5, 1, {"step": step}, NOWHERE)
    step += 1
    reservoir.offer(0.5, 1, {"step": step}, NOWHERE)
    step += 100
    assert [1, 2] == [e.filtered_attributes[SETTLED_STEP] for e in reservoir.collect({})]


@pytest.mark.parametrize(
    "number", [np.float32(0.5), np.float64(0.5), np.array(0.5), Fraction(1, 2), Decimal("0.5")], ids=repr
)
def test_a_value_is_kept_as_the_number_that_it_is_now(number):
    """A zero-dimensional array or tensor may be changed in place (and a tensor holds its graph)."""
    recorder = Recorder()
    recorder.meter.create_gauge("loss").set(number)
    if isinstance(number, np.ndarray):
        number += 1.0
    [exemplar] = recorder.exemplars()
    assert 0.5 == exemplar.value
    assert isinstance(exemplar.value, float)


def test_a_whole_number_stays_whole():
    """Tokens are counted, not measured."""
    reservoir = KeepAllReservoir()
    offer(reservoir, 3, np.int64(3), np.array(3))
    assert [int, int, int] == [type(value) for value in kept(reservoir.collect({}))]


@pytest.mark.parametrize(
    "attributes", [None, {}, {"step": object()}, {"source": {"a": 1}}, {1: 2}, 5, "text", [("step", 1)], [1]]
)
def test_nothing_that_is_offered_raises(attributes):
    """An exception would reach the user's `set`, or end the thread of the reader."""
    set_step(4, source="evaluator")
    reservoir = KeepAllReservoir()
    reservoir.offer(1.0, 1, attributes, NOWHERE)
    reservoir.offer("x", 1, attributes, NOWHERE)
    assert [1.0, "x"] == kept(reservoir.collect(None))


def test_a_full_reservoir_keeps_the_oldest_and_counts_the_rest():
    """A million offers that nobody collects: the bound holds, and not one is unaccounted for."""
    reservoir = KeepAllReservoir(bound=1000)
    offered = reservoir.offer
    for value in range(1_000_000):
        offered(value, 1, None, NOWHERE)
    assert 1000 == len(reservoir)
    assert 999_000 == reservoir.shed
    exemplars = reservoir.collect({})
    assert list(range(1000)) == kept(exemplars)
    assert 999_000 == shed(exemplars)
    assert 0 == reservoir.shed == shed(reservoir.collect({}))


def test_a_full_reservoir_fills_again_after_a_collection():
    """Shedding is for an interval, not for ever."""
    reservoir = KeepAllReservoir(bound=2)
    offer(reservoir, 1, 2, 3)
    reservoir.collect({})
    offer(reservoir, 4)
    assert [4] == kept(reservoir.collect({}))


def test_what_threads_overfill_is_counted_exactly():
    """The bound may be passed by one measurement a thread; kept and shed are all that were offered."""
    reservoir = KeepAllReservoir(bound=100)
    collected = []
    with switching_often():
        threads = started(4, lambda rank: offer(reservoir, *range(rank * 20_000, (rank + 1) * 20_000)))
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.002)
            assert 104 >= len(reservoir)
            collected += reservoir.collect({})
    collected += reservoir.collect({})
    assert 80_000 == len(kept(collected)) + shed(collected)
    assert len(set(kept(collected))) == len(kept(collected))
    assert 0 < shed(collected)


def test_the_high_water_mark_is_said_at_half_the_bound():
    """And with every measurement after it, until a collection."""
    calls = []
    reservoir = KeepAllReservoir(bound=10, on_high_water=lambda: calls.append(len(reservoir)))
    offer(reservoir, *range(5))
    assert [] == calls
    offer(reservoir, 5, 6)
    assert [6, 7] == calls
    reservoir.collect({})
    offer(reservoir, *range(5))
    assert [6, 7] == calls


def test_a_forked_child_starts_empty():
    """What waited, and what was shed, are the parent's to report."""
    intake = Intake(bound=2)
    reservoirs = [intake.reservoir(observed=False), intake.reservoir(observed=True)]
    for reservoir in reservoirs:
        offer(reservoir, 1, 2, 3)
    assert (4, 2) == intake.waiting()
    # Another thread may have held the locks at that moment; in the child it is gone.
    assert reservoirs[0]._lock.acquire()
    assert intake._lock.acquire()
    intake.clear()
    assert not reservoirs[0]._lock.locked()
    assert (0, 0) == intake.waiting()


@pytest.mark.parametrize("temporality", [AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE])
def test_after_a_fork_every_reservoir_is_empty_in_the_child_alone(temporality):
    """Also those of a `step_view`, which belong to no exporter that could see to it."""
    view = step_view(instrument_name="latency", aggregation=ExplicitBucketHistogramAggregation())
    recorder = Recorder(views=[view], temporality=temporality)
    recorder.meter.create_histogram("latency").record(1.0)
    recorder.meter.create_gauge("loss").set(1.0)
    child = os.fork()
    if child == 0:
        os._exit(len(recorder.exemplars()))
    _, status = os.waitpid(child, 0)
    assert 0 == os.waitstatus_to_exitcode(status)
    assert 2 == len(recorder.exemplars())


def test_an_intake_knows_only_the_reservoirs_that_live():
    """The SDK lets go of a delta series once it is collected, and its reservoir goes with it."""
    intake = Intake()
    reservoir = intake.reservoir(observed=False)
    offer(reservoir, 1)
    assert (1, 0) == intake.waiting()
    del reservoir
    assert (0, 0) == intake.waiting()


@pytest.mark.parametrize("temporality", [AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE])
@pytest.mark.parametrize(("ranks", "each"), [(1, 200_000), (3, 100_000)])
def test_of_a_million_measurements_not_one_is_lost_and_not_one_comes_twice(ranks, each, temporality):
    """In all four cases together, through real instruments, while another thread collects without a pause."""
    recorder = Recorder(views=step_views(), temporality=temporality, intake=Intake(bound=2_000_000))
    record = [
        recorder.meter.create_gauge("gauge").set,
        recorder.meter.create_counter("counter").add,
        recorder.meter.create_up_down_counter("up_down_counter").add,
        recorder.meter.create_histogram("histogram").record,
    ]
    collected = []

    def work(rank):
        attributes = {"priority": rank}
        for value in range(rank * each, (rank + 1) * each):
            attributes["step"] = value
            record[value & 3](value, attributes)

    def take():
        collected.extend(
            (e.value, e.filtered_attributes[SETTLED_STEP], e.filtered_attributes[PRIORITY])
            for e in recorder.exemplars()
        )

    with switching_often():
        threads = started(ranks, work)
        while any(thread.is_alive() for thread in threads):
            take()
    take()
    assert ranks * each == len(collected)
    collected.sort()
    assert [(value, value, value // each) for value in range(ranks * each)] == collected


class switching_often:  # noqa: N801 (a context manager)
    """Makes the interpreter change threads a hundred times as often."""

    def __enter__(self):
        self._before = sys.getswitchinterval()
        sys.setswitchinterval(5e-5)

    def __exit__(self, *_):
        sys.setswitchinterval(self._before)


def started(ranks, work):
    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(ranks)]
    for thread in threads:
        thread.start()
    return threads
