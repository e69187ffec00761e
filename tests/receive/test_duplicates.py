"""At least once in, exactly once out; whatever the order."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from otlp_sender import NOW, SECOND, gauge_of, post, request_of, series

from otel_wandb_bridge import OtlpReceiver
from otel_wandb_bridge.receive.duplicates import Seen
from otel_wandb_bridge.receive.ordering import TAIL_PATIENCE, Ordering, Part
from otel_wandb_bridge.records import Sample
from otel_wandb_bridge.testing import FakeRun


def counter_of(name, increments, *, time):
    """A counter whose data point carries increments by step."""
    metric = Metric(name=name)
    metric.sum.aggregation_temporality = 1
    metric.sum.is_monotonic = True
    metric.sum.data_points.add().CopyFrom(gauge_of(name, increments, time=time).gauge.data_points[0])
    return metric


def histogram_of(name, values, *, time):
    """A histogram whose data point carries values by step."""
    metric = Metric(name=name)
    metric.histogram.aggregation_temporality = 1
    point = metric.histogram.data_points.add(time_unix_nano=time, count=len(values), sum=sum(values.values()))
    point.exemplars.extend(gauge_of(name, values, time=time).gauge.data_points[0].exemplars)
    return metric


def exports(instance):
    """Four exports of one process, of two steps each."""
    requests = []
    for number in range(4):
        steps = (2 * number, 2 * number + 1)
        time = NOW + number * SECOND
        requests.append(
            request_of(
                gauge_of("loss", {step: step / 4 for step in steps}, time=time),
                counter_of("tokens", dict.fromkeys(steps, 8.0), time=time),
                histogram_of("latency", dict.fromkeys(steps, 0.5), time=time),
                instance=instance,
            )
        )
    return requests


def rows_after(requests, **options):
    """The rows of a run after these requests, by step."""
    run = FakeRun()
    with OtlpReceiver(run, port=0, **options) as receiver:
        for request in requests:
            receiver._accept(request, request.SerializeToString())
        assert receiver.force_flush()
        assert receiver.stats().is_conserved()
    rows = [
        {key: value for key, value in row.items() if key not in ("_step", "_timestamp")} for row in run.rows
    ]
    return [{key: str(value) for key, value in row.items()} for row in rows]


EXPECTED = rows_after(exports("a"))


def test_the_rows_are_those_of_each_step():
    """What the laws below compare with: a total, an observation and a value at each step."""
    assert [str(step) for step in range(8)] == [row["global_step"] for row in EXPECTED]
    assert [str(8.0 * (step + 1)) for step in range(8)] == [row["tokens"] for row in EXPECTED]
    assert {"1"} == {row["latency/count"] for row in EXPECTED}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(range(4)), max_size=6), st.permutations(range(4)))
def test_repeated_and_reordered_exports_end_in_the_same_rows(repeated, order):
    """Gauges, counters and histograms alike."""
    requests = exports("a")
    sent = [requests[number] for number in (*order, *repeated)]
    assert EXPECTED == rows_after(sent)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_data_points_in_other_requests_are_the_same_data_points(data):
    """A Collector merges and splits what it forwards, and repeats parts of it."""
    points = [
        request_of(metric, instance="a")
        for request in exports("a")
        for metric in request.resource_metrics[0].scope_metrics[0].metrics
    ]
    points += data.draw(st.lists(st.sampled_from(points), max_size=5))
    shuffled = data.draw(st.permutations(points))
    sent = []
    for group in itertools.zip_longest(*[iter(shuffled)] * data.draw(st.integers(1, 4))):
        merged = ExportMetricsServiceRequest()
        for each in filter(None, group):
            merged.MergeFrom(each)
        sent.append(merged)
    assert EXPECTED == rows_after(sent)


def test_the_same_values_from_two_processes_are_two_shares():
    """Another instance is another sender, not a repetition."""
    both = rows_after([exports("a")[0], exports("b")[0]])
    assert ["16.0", "32.0"] == [row["tokens"] for row in both]


def test_a_repetition_is_counted(receiver, run):
    """In `counts()`, and nowhere else: it was recorded once."""
    request = request_of(gauge_of("loss", {0: 0.5, 1: 1.0}))
    for _ in range(3):
        post(receiver, request).message()
    receiver.force_flush()
    counts = receiver.counts()
    assert {"new": 1, "duplicate": 2, "rejected": 0} == counts["points"]
    assert 2 == counts["samples"]["recorded"]
    assert {0: 0.5, 1: 1.0} == series(run, "loss")


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 4), st.integers(0, 9)), max_size=60))
def test_a_data_point_is_new_exactly_once(points):
    """In whichever order those of several collections come."""
    seen = Seen()
    told = [seen.is_new(name.encode(), time, b"%d" % number) for name, time, number in points]
    first = [point not in points[:place] for place, point in enumerate(points)]
    assert first == told
    assert len(set(points)) == len(seen)


def test_what_is_remembered_is_bounded():
    """The collections that came first are forgotten first."""
    seen = Seen(bound=100)
    for time in range(50):
        for number in range(10):
            assert seen.is_new(b"a", time, b"%d" % number)
    assert len(seen) <= 110
    assert not seen.is_new(b"a", 49, b"3")
    assert not seen.is_new(b"a", 45, b"3")


def part_of(name):
    """A part with one sample."""
    return Part(name, [Sample("a", 0, "k", 0.0, 5, 0.0)])


@pytest.mark.parametrize("everything", [False, True])
def test_an_export_that_was_overtaken_is_put_in_order(everything):
    """Within the window; the tail of an export waits for the next one of its sender."""
    part = part_of
    ordering = Ordering(2.0)
    ordering.add("a", 20.0, part("second"), part("second's tail"), now=0.0)
    ordering.add("a", 10.0, part("first"), part("first's tail"), now=1.0)
    ordering.add("b", 15.0, part("b"), Part("nothing", []), now=1.5)
    assert 2.0 == ordering.deadline()
    assert 5 == ordering.pending
    handed_on = [each.name for each in ordering.due(3.0, everything=everything)]
    if everything:
        assert ["first", "first's tail", "second", "b", "second's tail"] == handed_on
        assert (0, None) == (ordering.pending, ordering.deadline())
        return
    assert ["first", "first's tail", "second"] == handed_on
    assert ["b"] == [each.name for each in ordering.due(3.5)]
    ordering.add("a", 30.0, part("third"), Part("nothing", []), now=10.0)
    assert ["second's tail", "third"] == [each.name for each in ordering.due(12.0)]
    assert (0, None) == (ordering.pending, ordering.deadline())


def test_an_export_that_went_with_a_later_one_is_not_looked_for_again():
    """Its sender has nothing more, and others go on."""
    ordering = Ordering(2.0)
    ordering.add("a", 20.0, part_of("second"), Part("none", []), now=0.0)
    ordering.add("a", 10.0, part_of("first"), Part("none", []), now=1.0)
    ordering.add("b", 15.0, part_of("b"), Part("none", []), now=1.0)
    assert ["first", "second"] == [each.name for each in ordering.due(2.0)]
    assert ["b"] == [each.name for each in ordering.due(3.0)]
    assert (0, None) == (ordering.pending, ordering.deadline())


@given(st.data())
def test_every_export_is_handed_on_once_and_after_the_earlier_ones_that_were_there(data):
    """Whatever overtook whatever, and whenever it is asked for."""
    ordering, given_, handed, now = Ordering(2.0), [], [], 0.0
    for number in range(data.draw(st.integers(1, 8))):
        sender, collected = data.draw(st.sampled_from("ab")), data.draw(st.integers(0, 9))
        now += data.draw(st.sampled_from([0.0, 0.5, 1.0, 3.0]))
        ordering.add(sender, float(collected), part_of((sender, collected, number)), Part("none", []), now)
        given_.append((sender, collected, number))
        if data.draw(st.booleans()):
            handed.append([each.name for each in ordering.due(now)])
    handed.append([each.name for each in ordering.due(now + 2.0)])
    assert sorted(given_) == sorted(itertools.chain.from_iterable(handed))
    assert 0 == ordering.pending
    for batch in handed:
        for sender in "ab":
            of_one = [collected for name, collected, _ in batch if name == sender]
            assert sorted(of_one) == of_one


def test_the_tail_of_the_last_export_does_not_wait_for_ever():
    """Its sender is gone."""
    ordering, tail = Ordering(0.0), part_of("tail")
    ordering.add("a", 20.0, Part("nothing", []), tail, now=0.0)
    assert [] == ordering.due(1.0)
    assert TAIL_PATIENCE == ordering.deadline()
    assert [tail] == ordering.due(TAIL_PATIENCE)
