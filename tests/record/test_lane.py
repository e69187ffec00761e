"""The direct lane: what is logged arrives as it was, once, or is counted."""

import copy
import sys
import threading
import time
from collections import OrderedDict
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import baggage, context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from recorder import points_of

from otel_wandb_bridge.attributes import LANE_SCOPE
from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.record import DirectLane, ambient, lane, set_step, training_step
from otel_wandb_bridge.record.lane_gauges import LaneGauges
from otel_wandb_bridge.records import Kind, Sample


class Logger:
    """A lane and the ledger that its samples are counted in."""

    def __init__(self, priorities=(), **options):
        self.lane = DirectLane(dict(priorities), **options)
        self.ledger = Ledger()

    def log(self, values, step=None, source=None, priority=None):
        self.lane.log(values, step, source, priority)

    def samples(self, until=None):
        taken = [sample for batch in self.lane.batches(self.ledger, until) for sample in batch]
        self.lane.after_flush()
        return taken

    def values(self, until=None):
        return {sample.key: sample.value for sample in self.samples(until)}

    def said(self):
        """(step, source, priority) of each sample."""
        return [(sample.step, sample.source, sample.priority) for sample in self.samples()]


@pytest.fixture
def logger():
    return Logger()


@pytest.fixture
def wall_clock(monkeypatch):
    """The time that the lane sees; the test sets it."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(lane, "time", lambda: clock.now)
    return clock


def test_a_dict_becomes_a_sample_for_each_key(logger, wall_clock):
    """With all that was said in the call, and the time of it."""
    logger.log({"loss": 0.5, "note": "warm-up"}, step=3, source="trainer", priority=1)
    assert [
        Sample("trainer", 3, "loss", 0.5, 1, 100.0, Kind.VALUE),
        Sample("trainer", 3, "note", "warm-up", 1, 100.0, Kind.VALUE),
    ] == logger.samples()
    assert [] == logger.samples()
    assert 2 == logger.ledger.recorded


def test_a_call_is_one_append(logger):
    """However many values it holds."""
    logger.log(dict.fromkeys("abc", 1))
    logger.log({})
    assert 2 == len(logger.lane.queue)
    assert (3, 0) == logger.lane.waiting()


def test_argument_then_baggage_then_the_clock_of_the_source_then_of_the_process(logger):
    """The order in which a step is looked for, as for measurements."""
    logger.log({"loss": 1})
    set_step(1)
    set_step(0, source="evaluator")
    logger.log({"loss": 1})
    logger.log({"loss": 1}, source="evaluator")
    with training_step(2, source="reward", priority=3):
        logger.log({"loss": 1})
        logger.log({"loss": 1}, step=5)
        logger.log({"loss": 1}, source="evaluator")
        logger.log({"loss": 1}, step=5, source="evaluator")
        logger.log({"loss": 1}, priority=4)
        logger.log({"loss": 1}, source="evaluator", priority=4)
        logger.log({"loss": 1}, step=5, priority=4)
        logger.log({"loss": 1}, step=5, source="evaluator", priority=4)
    assert [
        (None, LANE_SCOPE, 5),
        (1, LANE_SCOPE, 5),
        (0, "evaluator", 5),
        (2, "reward", 3),
        (5, "reward", 3),
        (2, "evaluator", 3),
        (5, "evaluator", 3),
        (2, "reward", 4),
        (2, "evaluator", 4),
        (5, "reward", 4),
        (5, "evaluator", 4),
    ] == logger.said()


def test_a_step_is_settled_when_it_is_logged(logger):
    """Whatever clock and context show when it is taken out."""
    set_step(1)
    logger.log({"loss": 1})
    token = context.attach(baggage.set_baggage("step", "2"))
    logger.log({"loss": 1})
    context.detach(token)
    set_step(100)
    with training_step(200):
        assert [1, 2] == [step for step, _, _ in logger.said()]


def test_the_first_priority_of_a_context_counts_where_step_and_source_are_given(logger, monkeypatch):
    """Before it nobody looks for one."""
    monkeypatch.setattr(ambient, "priorities_are_said", False)
    logger.log({"loss": 1}, step=1, source="evaluator")
    with training_step(2, priority=3):
        logger.log({"loss": 1}, step=2, source="evaluator")
    assert [(1, "evaluator", 5), (2, "evaluator", 3)] == logger.said()


def test_a_source_without_a_priority_has_that_of_the_options():
    """Unless the call, or the block around it, says one."""
    logger = Logger({"trainer": 1})
    logger.log({"loss": 1}, source="trainer")
    logger.log({"loss": 1}, source="trainer", priority=7)
    with training_step(2, priority=3):
        logger.log({"loss": 1}, source="trainer")
    assert [1, 7, 3] == [priority for _, _, priority in logger.said()]


class Tensor:
    """As much of a tensor as taking one needs."""

    def __init__(self, values):
        self.values = values

    def detach(self):
        return self

    def clone(self):
        return Tensor(list(self.values))


MUTABLE = {
    "a dict": ({"a": 1}, lambda value: value.update(a=2)),
    "a dict in a dict": ({"a": {"b": 1}}, lambda value: value["a"].update(b=2)),
    "a list": ([1, 2], lambda value: value.append(3)),
    "a list in a tuple": (([1],), lambda value: value[0].append(2)),
    "a dict in a list": ([{"a": 1}], lambda value: value[0].update(a=2)),
    "an array": (np.zeros(3), lambda value: value.fill(1)),
    "an array in a list": ([np.zeros(3)], lambda value: value[0].fill(1)),
    "a zero-dimensional array": (np.array(1.0), lambda value: value.fill(2)),
}


@pytest.mark.parametrize(("value", "change"), MUTABLE.values(), ids=MUTABLE.keys())
def test_what_is_changed_after_the_call_changes_nothing(logger, value, change):
    """Callers reuse dicts, lists and arrays."""
    before = copy.deepcopy(value)
    logger.log({"x": value})
    change(value)
    np.testing.assert_equal(before, logger.values()["x"])


def test_the_dict_itself_may_be_reused(logger):
    """As training loops do."""
    values = {}
    for step in range(3):
        values["loss"] = step
        logger.log(values, step=step)
    values.clear()
    assert [(0, 0), (1, 1), (2, 2)] == [(sample.step, sample.value) for sample in logger.samples()]


def test_a_step_that_is_counted_in_place_changes_nothing(logger):
    """Trainers keep `global_step` in an array or tensor, and add to it."""
    step = np.array(1)
    logger.log({"loss": 1}, step=step)
    step += 100
    assert [1] == [sample.step for sample in logger.samples()]


def test_a_tensor_is_taken_off_its_graph_and_copied(logger):
    """Changes in place are common, and the graph would be kept alive."""
    tensor = Tensor([1])
    logger.log({"x": tensor})
    tensor.values.append(2)
    assert [1] == logger.values()["x"].values


def test_a_stream_is_not_detached(logger):
    """Only what can be detached and cloned is a tensor; a text stream would be unusable afterwards."""
    stream = SimpleNamespace(detach=lambda: pytest.fail("detached"))
    logger.log({"x": stream})
    assert {"x": stream} == logger.values()


@pytest.mark.parametrize("mapping", [OrderedDict(a=1), MappingProxyType({"a": 1})])
def test_every_mapping_is_a_dict(logger, mapping):
    """`wandb.log` takes them too."""
    logger.log(mapping)
    assert {"a": 1} == logger.values()


@pytest.mark.parametrize("values", [None, 5, "loss", "", [], [("loss", 1)], ["ab"], {"loss"}, object()])
def test_what_is_no_dict_is_counted_and_said(logger, caplog, values):
    """Never raised, and one sample each."""
    logger.log(values)
    assert [] == logger.samples()
    assert {"values": 1} == logger.ledger.rejected
    assert f"got {type(values).__name__}" in caplog.text


def test_keys_that_are_no_text_are_counted_and_the_others_arrive(logger):
    """W&B would raise for the whole row."""
    logger.log({1: 1, None: 2, "": 3, ("a",): 4, "loss": 5})
    assert {"loss": 5} == logger.values()
    assert {"key": 4} == logger.ledger.rejected


def test_a_value_that_cannot_be_copied_is_counted_and_the_others_arrive(logger):
    """A list within itself, and objects of NumPy that are no arrays."""
    endless = []
    endless.append(endless)
    logger.log({"endless": endless, "random": np.random.default_rng(), "loss": 5})
    assert {"loss": 5} == logger.values()
    assert {"value": 2} == logger.ledger.rejected
    assert 3 == logger.ledger.recorded


@pytest.mark.parametrize("step", [-1, "x", float("nan"), True, 1.5, [], object(), b"5", [[]] * 3])
def test_a_bad_step_is_counted_for_each_value(logger, step):
    """The ambient step is not taken instead: the caller named one."""
    with training_step(1):
        logger.log({"a": 1, "b": 2}, step=step)
        logger.log({"c": 3})
    assert {"c": 3} == logger.values()
    assert {"step": 2} == logger.ledger.rejected


def test_bad_steps_are_said_once_for_a_source(logger, caplog):
    """Not once for each step: the counts say how often."""
    for step in range(-50, 0):
        logger.log({"loss": 1}, step=step, source="trainer")
    logger.samples()
    assert 1 == len(caplog.messages)
    assert "-50 of type int: a step is an int, 0 or greater" in caplog.text
    assert {"step": 50} == logger.ledger.rejected


@pytest.mark.parametrize("priority", [-1, 11, "high", True, object()])
def test_a_bad_priority_is_said_and_the_default_used(caplog, priority):
    """The value counts more than its rank."""
    logger = Logger({"trainer": 2})
    logger.log({"loss": 1}, source="trainer", priority=priority)
    assert [2] == [sample.priority for sample in logger.samples()]
    assert "a priority is an int" in caplog.text


def test_a_source_is_text(logger):
    """Ranks are sources too, also rank 0."""
    logger.log({"loss": 1}, step=1, source=0)
    assert ["0"] == [sample.source for sample in logger.samples()]


anything = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=3)
)
nested = st.recursive(
    anything, lambda inner: st.lists(inner) | st.dictionaries(anything, inner), max_leaves=5
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.tuples(nested, nested, anything, nested), max_size=8))
def test_all_that_is_logged_is_accounted_for(calls):
    """Whatever it is, nothing is raised, and recorded = samples + rejected + shed."""
    logger = Logger(bound=5)
    for call in calls:
        logger.log(*call)
    waiting, shed = logger.lane.waiting()
    samples = logger.samples()
    ledger = logger.ledger
    assert waiting + shed == ledger.recorded
    assert len(samples) + sum(ledger.rejected.values()) + ledger.shed == ledger.recorded
    assert (0, 0) == logger.lane.waiting()


def test_a_full_lane_sheds_and_counts_the_values(caplog):
    """Calls are bounded, values are counted; what is no dict is bounded too."""
    logger = Logger(bound=2)
    for step in range(4):
        logger.log({"a": step, "b": step}, step=step)
    logger.log(None)
    assert (4, 5) == logger.lane.waiting()
    assert [0, 0, 1, 1] == [sample.value for sample in logger.samples()]
    assert (5, 9) == (logger.ledger.shed, logger.ledger.recorded)
    assert "Bridge.log: it is called faster than W&B takes rows" in caplog.text


def test_the_high_water_mark_is_said():
    """So that the lane is emptied before the interval is over; once, until it has been."""
    logger, calls = Logger(high_water=2), []
    logger.lane.on_high_water = lambda: calls.append(logger.lane.entries)
    for _ in range(5):
        logger.log({"a": 1})
    assert [2] == calls
    assert 5 == len(logger.samples())
    for _ in range(5):
        logger.log({"a": 1})
    assert [2, 2] == calls


def test_what_a_flush_has_left_asks_for_the_next_one(wall_clock):
    """Nobody may log again for a long while."""
    logger, calls = Logger(high_water=2), []
    logger.lane.on_high_water = lambda: calls.append(logger.lane.entries)
    for _ in range(3):
        logger.log({"a": 1})
    logger.samples(until=wall_clock.now - 1.0)
    assert [2, 3] == calls
    logger.log({"a": 1})
    assert [2, 3] == calls


def test_a_burst_in_the_middle_of_a_flush_asks_for_the_next_one():
    logger, calls = Logger(high_water=2), []
    logger.lane.on_high_water = lambda: calls.append(logger.lane.entries)
    logger.log({"a": 1})
    flush = logger.lane.batches(logger.ledger, None)
    next(flush)
    for _ in range(5):
        logger.log({"a": 1})
    assert [] == list(flush)
    logger.lane.after_flush()
    assert [2, 5] == calls
    assert 5 == len(logger.samples())
    assert [2, 5] == calls


def test_a_flush_that_is_over_before_it_is_asked_for_counts():
    """Whatever the moment: the next call that finds the lane full asks anew."""
    logger, calls = Logger(high_water=2), []

    def flush_at_once():
        calls.append(logger.lane.entries)
        logger.samples()

    logger.lane.on_high_water = flush_at_once
    for _ in range(9):
        logger.log({"a": 1})
    assert [2, 2, 2, 2] == calls


def test_a_full_lane_sheds_though_a_flush_was_asked_for():
    logger, calls = Logger(high_water=2, bound=4), []
    logger.lane.on_high_water = lambda: calls.append(1)
    for _ in range(9):
        logger.log({"a": 1})
    assert ([1], (4, 5)) == (calls, logger.lane.waiting())


def test_what_is_later_stays(logger, wall_clock):
    """A collection is complete up to the moment it began, and so is the lane."""
    for moment in (100.0, 101.0, 102.0):
        wall_clock.now = moment
        logger.log({"a": moment})
    assert [100.0, 101.0] == [sample.value for sample in logger.samples(until=101.0)]
    assert [102.0] == [sample.value for sample in logger.samples(until=103.0)]


def test_nothing_stays_twice(logger, wall_clock):
    """Should the wall clock be set back, `until` is long before all that waits."""
    wall_clock.now = 1000.0
    logger.log({"a": 1})
    assert [] == logger.samples(until=10.0)
    for wall_clock.now, key in ((11.0, "b"), (12.0, "c")):
        logger.log({key: 1})
    assert {"a": 1, "b": 1} == logger.values(until=11.0)
    assert {"c": 1} == logger.values(until=11.0)
    assert {} == logger.values(until=11.0)


def test_batches_are_in_the_order_of_measurement(wall_clock):
    """Also where the wall clock went back between two calls of one batch."""
    logger = Logger()
    for moment in (5.0, 3.0, 4.0):
        wall_clock.now = moment
        logger.log({"a": moment})
    [batch] = logger.lane.batches(logger.ledger, None)
    assert [3.0, 4.0, 5.0] == [sample.time for sample in batch]


def test_a_backlog_comes_in_batches_and_may_be_left(logger):
    """What a consumer leaves waits for the next flush, which takes it whatever its time."""
    for value in range(5000):
        logger.log({"a": value})
    batches = logger.lane.batches(logger.ledger, None)
    first = next(batches)
    batches.close()
    assert (5000 - len(first), 0) == logger.lane.waiting()
    rest = logger.samples(until=0.0)
    assert list(range(5000)) == [sample.value for sample in first + rest]
    assert 5000 == logger.ledger.recorded


def test_a_forked_child_starts_empty():
    """What waits is the parent's to write."""
    logger = Logger(bound=1)
    logger.log({"a": 1})
    assert [] == logger.samples(until=0.0)
    logger.log({"a": 2})
    assert (1, 1) == logger.lane.waiting()
    assert logger.lane._lock.acquire()
    logger.lane.clear()
    assert not logger.lane._lock.locked()
    assert (0, 0) == logger.lane.waiting()
    logger.log({"b": 1})
    assert [] == logger.samples(until=0.0)


def test_many_threads_log_against_drains_and_nothing_is_lost(logger):
    """Nor twice, nor out of the order of its thread, while another thread looks at what waits."""
    ranks, each, done = 4, 25_000, []

    def work(rank):
        for value in range(each):
            logger.log({"a": value}, step=value, source=rank)
        done.append(rank)

    def look():
        while len(done) < ranks:
            waiting, shed = logger.lane.waiting()
            assert 0 <= waiting <= ranks * each
            assert 0 == shed

    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    try:
        threads = [threading.Thread(target=work, args=(rank,)) for rank in range(ranks)]
        threads.append(threading.Thread(target=look))
        for thread in threads:
            thread.start()
        samples = []
        while len(done) < ranks:
            samples += logger.samples(until=time.time())
    finally:
        sys.setswitchinterval(before)
    for thread in threads:
        thread.join()
    samples += logger.samples()
    by_rank = {str(rank): [s.value for s in samples if s.source == str(rank)] for rank in range(ranks)}
    assert {str(rank): list(range(each)) for rank in range(ranks)} == by_rank
    assert ranks * each == logger.ledger.recorded


@pytest.fixture
def shown():
    """A lane whose scalars are shown, and what another reader of the provider sees."""
    reader = InMemoryMetricReader()
    gauges = LaneGauges(MeterProvider([reader], shutdown_on_exit=False).get_meter(LANE_SCOPE))
    logger = Logger(gauges=gauges)

    def seen(*calls):
        for values in calls:
            logger.log(values)
        logger.samples()
        points = [(metric.name, point.value) for metric, point in points_of(reader)]
        assert len(points) == len(dict(points)), "one name has two series"
        return dict(points)

    return seen


def test_other_readers_see_the_last_scalar_of_each_key(shown):
    """As gauges."""
    assert {"loss": 0.25, "train/lr": 1} == shown({"loss": 0.5, "train/lr": 1}, {"loss": 0.25})
    assert {"loss": 0.25, "train/lr": 2} == shown({"train/lr": 2})


def test_names_are_made_legal(shown):
    """And told apart no further than the SDK does, which knows no capitals."""
    values = {"train loss": 1, "5-shot": 2, "é": 3, "_x": 4, "a.b-c/d": 5, "Loss": 6, "loss": 7, "k" * 300: 8}
    assert {
        "train_loss": 1,
        "key_5-shot": 2,
        "key__": 3,
        "key__x": 4,
        "a.b-c/d": 5,
        "loss": 7,
        "k" * 255: 8,
    } == shown(values)


def test_what_is_no_finite_number_is_not_shown(shown):
    """The SDK refuses it; and the last finite one stands."""
    values = {"a": float("nan"), "b": float("inf"), "c": True, "d": "text", "e": None, "f": [1], "g": 10**400}
    assert {"a": 1} == shown({"a": 1}, values)


def test_numbers_of_numpy_and_large_ones_are_shown_as_python_s(shown):
    """An exporter loses a whole collection to one number that OTLP has no room for."""
    largest = 2**63 - 1
    values = {"a": np.float32(0.5), "b": np.int64(3), "c": largest + 1, "d": largest, "e": -largest}
    seen = shown(values)
    assert {"a": 0.5, "b": 3, "c": 2.0**63, "d": largest, "e": -largest} == seen
    assert [float, float, float, int, int] == [type(value) for value in seen.values()]
