"""The views keep step and priority out of the series of every reader, and never double a stream."""

import threading
from collections import Counter
from itertools import permutations

import prometheus_client
import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import (
    Aggregation,
    DefaultAggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    SumAggregation,
    View,
)
from recorder import Recorder, points_of

from otel_wandb_bridge.attributes import SETTLED_STEP
from otel_wandb_bridge.record import step_view, step_views

BOTH = pytest.mark.parametrize(
    "temporality",
    [AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE],
    ids=["delta", "cumulative"],
)


def test_step_and_priority_are_no_part_of_a_series():
    """For every reader of the provider; all other attributes are."""
    other = InMemoryMetricReader()
    recorder = Recorder(views=step_views(), readers=[other])
    counter = recorder.meter.create_counter("tokens")
    for step in range(100):
        counter.add(1, {"step": step, "priority": step % 10, "source": "trainer", "rank": step % 2})
    for reader in (recorder.reader, other):
        said = {(point.attributes["rank"], point.value): point.attributes for _, point in points_of(reader)}
        assert {
            (0, 50): {"source": "trainer", "rank": 0},
            (1, 50): {"source": "trainer", "rank": 1},
        } == said


def test_prometheus_keeps_its_series_while_the_steps_go_on():
    """A thousand steps are the one series that ten steps are, and bear no `step` or `priority` label."""
    reader = PrometheusMetricReader()
    recorder = Recorder(views=step_views(), readers=[reader])
    gauge, counter = recorder.meter.create_gauge("loss"), recorder.meter.create_counter("tokens")
    try:
        exposed = []
        for steps in (range(10), range(10, 1000)):
            for step in steps:
                gauge.set(float(step), {"step": step, "priority": 1, "rank": 0})
                counter.add(1, {"step": step, "rank": 0})
            exposed.append(_exposed_lines())
    finally:
        recorder.provider.shutdown()
    assert len(exposed[0]) == len(exposed[1])
    assert 2 == sum(line.startswith(("loss", "tokens")) and "_created" not in line for line in exposed[1])
    assert [] == [line for line in exposed[1] if "step=" in line or "priority=" in line]
    assert [] != [line for line in exposed[1] if line.startswith("tokens") and line.endswith(" 1000.0")]


MINE = {
    "a view of the user's": lambda: View(instrument_name="tokens", attribute_keys={"rank"}),
    "a wildcard view of the user's": lambda: View(instrument_name="tok*", description="tokens so far"),
    "a view by meter": lambda: View(meter_name="trainer", attribute_keys={"rank"}),
    "a step_view": lambda: step_view(instrument_name="tokens"),
    "a step_view with keys": lambda: step_view(instrument_name="tokens", attribute_keys={"rank", "step"}),
    "a renaming step_view": lambda: step_view(instrument_name="tokens", name="tokens.seen"),
}


@pytest.mark.parametrize("mine", MINE.values(), ids=MINE.keys())
@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
@BOTH
def test_a_stream_is_never_doubled(mine, order, temporality):
    """`step_views` twice and another view of the same instrument, in any order: one stream, one total."""
    other = InMemoryMetricReader()
    given = [*step_views(), *step_views(), mine()]
    recorder = Recorder(views=[given[i] for i in order], temporality=temporality, readers=[other])
    counters = [recorder.meter.create_counter(name) for name in ("tokens", "unrelated")]
    totals, arrived = Counter(), Counter()
    for steps in (range(10), range(10, 20)):
        for counter in counters:
            for step in steps:
                counter.add(1, {"step": step, "rank": 0})
        arrived.update(recorder.steps())
    for metric, point in points_of(other):
        totals[metric.name] += point.value
    assert [20, 20] == list(totals.values())
    assert dict.fromkeys(range(20), 2) == arrived


@pytest.mark.parametrize("times", [2, 3])
@BOTH
def test_one_list_that_is_unpacked_again_doubles_no_stream(times, temporality):
    """The same view stands in the provider's list more than once, for all its readers and threads."""
    views = step_views()
    other = InMemoryMetricReader()
    recorder = Recorder(views=views * times, temporality=temporality, readers=[other])
    names = [f"tokens{number}" for number in range(8)]

    def count(name):
        counter = recorder.meter.create_counter(name)
        for step in range(10):
            counter.add(1, {"step": step})

    threads = [threading.Thread(target=count, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    totals = Counter()
    for metric, point in points_of(other):
        totals[metric.name] += point.value
        assert {} == point.attributes
    assert dict.fromkeys(names, 10) == totals
    assert sorted([*range(10)] * len(names)) == sorted(recorder.steps())


def test_one_list_of_views_serves_each_provider_alike():
    """A view that stepped back in one provider does not do so in the next."""
    views = step_views()
    own = View(instrument_name="tokens", attribute_keys={"rank"})
    for given, expected in (([*views, own], {"rank": 0}), (views, {"rank": 0, "source": "trainer"})):
        recorder = Recorder(views=given)
        recorder.meter.create_counter("tokens").add(1, {"step": 1, "rank": 0, "source": "trainer"})
        assert [expected] == [point.attributes for _, point in points_of(recorder.reader)]


def test_an_instrument_that_another_view_matches_is_left_to_it():
    """The user said how it is to be aggregated; all other instruments keep the steps apart."""
    recorder = Recorder(views=[*step_views(), View(instrument_name="latency", attribute_keys={"step"})])
    recorder.meter.create_histogram("latency").record(1, {"step": 1, "rank": 0})
    recorder.meter.create_histogram("tokens").record(1, {"step": 1, "rank": 0})
    assert {"latency": {"step": 1}, "tokens": {"rank": 0}} == {
        metric.name: point.attributes for metric, point in points_of(recorder.reader)
    }


def test_the_views_need_no_reservoir():
    """Without our exporter they keep Prometheus clean all the same."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], views=step_views(), shutdown_on_exit=False)
    counter = provider.get_meter("trainer").create_counter("tokens")
    for step in range(10):
        counter.add(1, {"step": step})
    assert [({}, 10)] == [(point.attributes, point.value) for _, point in points_of(reader)]


@pytest.mark.parametrize(
    "aggregation",
    [
        ExplicitBucketHistogramAggregation([1, 10]),
        ExplicitBucketHistogramAggregation([1, 10], record_min_max=False),
        ExponentialBucketHistogramAggregation(max_size=4),
        DefaultAggregation(),
        None,
    ],
    ids=["explicit", "no min and max", "exponential", "default", "none"],
)
@BOTH
def test_a_step_view_with_an_explicit_aggregation_keeps_every_measurement(aggregation, temporality):
    """Over collections, with the buckets that were asked for."""
    plain = InMemoryMetricReader()
    view = step_view(instrument_name="latency", aggregation=aggregation)
    recorder = Recorder(views=[*step_views(), view], temporality=temporality)
    beside = MeterProvider(
        [plain],
        views=[View(instrument_name="latency", aggregation=aggregation, attribute_keys=set())],
        shutdown_on_exit=False,
    )
    latency = recorder.meter.create_histogram("latency")
    latency_beside = beside.get_meter("trainer").create_histogram("latency")
    arrived = []
    for steps in (range(40), range(40, 100)):
        for step in steps:
            latency.record(step * 1.5, {"step": step, "priority": 1})
            latency_beside.record(step * 1.5)
        points = points_of(recorder.reader)
        assert 1 == len(points)
        [(_, point)] = points
        arrived += [
            (exemplar.value, exemplar.filtered_attributes[SETTLED_STEP]) for exemplar in point.exemplars
        ]
    assert [(step * 1.5, step) for step in range(100)] == arrived
    assert {} == point.attributes
    if temporality is AggregationTemporality.CUMULATIVE:
        [(_, theirs)] = points_of(plain)
        for part in ("count", "sum", "min", "max", "explicit_bounds", "bucket_counts", "positive"):
            assert getattr(theirs, part, None) == getattr(point, part, None), part


def test_a_step_view_keeps_the_attribute_keys_but_step_and_priority():
    """`attribute_keys` of the user's own, or all."""
    view = step_view(instrument_name="tokens", attribute_keys={"rank", "step", "priority"})
    recorder = Recorder(views=[view])
    recorder.meter.create_counter("tokens").add(1, {"step": 1, "priority": 1, "rank": 0, "source": "trainer"})
    [(_, point)] = points_of(recorder.reader)
    assert {"rank": 0} == point.attributes
    [exemplar] = point.exemplars
    assert {SETTLED_STEP: 1, "priority": 1, "source": "trainer"} == exemplar.filtered_attributes


def test_a_step_view_leaves_the_given_aggregation_as_it_was():
    """The same object may stand in another view, without a reservoir."""
    aggregation = ExplicitBucketHistogramAggregation([1, 10])
    step_view(instrument_name="latency", aggregation=aggregation)
    assert ExplicitBucketHistogramAggregation is type(aggregation)


def test_a_step_view_for_an_observable_that_cannot_have_it_is_not_applied():
    """As with the SDK's own `View`: histograms are for what is recorded, and the default stands in."""
    view = step_view(instrument_name="queue", aggregation=ExplicitBucketHistogramAggregation())
    recorder = Recorder(views=[view])
    recorder.meter.create_observable_gauge("queue", [lambda _: [Observation(3)]])
    assert [3] == [exemplar.value for exemplar in recorder.exemplars()]


def test_a_step_view_brings_its_own_reservoir():
    """Another one is a contradiction, and said so."""
    with pytest.raises(TypeError, match="step_view brings its own exemplar_reservoir_factory; use View"):
        step_view(instrument_name="latency", exemplar_reservoir_factory=lambda kind: None)


def test_a_step_view_says_what_view_says():
    """Unknown arguments and missing criteria are errors when the view is made."""
    with pytest.raises(TypeError, match="instrument_nam"):
        step_view(instrument_nam="latency")
    with pytest.raises(Exception, match="selection criteria"):
        step_view(aggregation=ExplicitBucketHistogramAggregation())


def _exposed_lines():
    lines = prometheus_client.generate_latest().decode().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


class Mine(Aggregation):
    """An aggregation that is not the SDK's."""

    def _create_aggregation(self, *_):
        return None


@pytest.mark.parametrize(
    "aggregation", [5, "sum", SumAggregation, Mine()], ids=["number", "text", "class", "unknown"]
)
def test_a_step_view_refuses_an_aggregation_that_the_sdk_does_not_know(aggregation):
    """At once, with those that it knows; collected, it would be the data of another instrument."""
    with pytest.raises(TypeError, match=r"step_view: aggregation must be one of .*SumAggregation\(\); got"):
        step_view(instrument_name="latency", aggregation=aggregation)
