"""Data points without our exemplars: what each adds to what is known of its series."""

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.view import (
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    SumAggregation,
    View,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_wandb_bridge.decode import Decoder, default_naming
from otel_wandb_bridge.decode.cumulative import Remembered
from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.record import INSTRUMENTS
from otel_wandb_bridge.records import Kind

DELTA, CUMULATIVE = AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE


class Points:
    """A decoder that is given points made by hand, collection by collection."""

    def __init__(self):
        self.ledger = Ledger()
        self.decoder = Decoder(default_naming, {}, self.ledger)
        self.time = 0

    def of(self, data, *, name="tokens", resource="", scope="trainer"):
        metric = Metric(name, "", "", data)
        scopes = [ScopeMetrics(InstrumentationScope(scope), [metric], "")]
        resources = [ResourceMetrics(Resource({"service.instance.id": resource}), scopes, "")]
        return self.decoder.decode(MetricsData(resources)).samples

    def total(self, value, attributes=None, *, start=1, time=None, monotonic=True, **where):
        """What a cumulative sum says: (step, increment) of each sample."""
        self.time += 1
        point = NumberDataPoint(attributes or {}, start, time or self.time, value)
        samples = self.of(Sum([point], CUMULATIVE, monotonic), **where)
        assert {Kind.INCREMENT} >= {sample.kind for sample in samples}
        return [(sample.step, sample.value) for sample in samples]

    def gauge(self, value, attributes=None):
        self.time += 1
        samples = self.of(Gauge([NumberDataPoint(attributes or {}, 1, self.time, value)]))
        return [(sample.step, sample.value) for sample in samples]

    def histogram(self, counts, *, bounds=(1, 2), low=None, high=None, start=1, temporality=CUMULATIVE):
        self.time += 1
        point = HistogramDataPoint({}, start, self.time, sum(counts), sum(counts), counts, bounds, low, high)
        samples = self.of(Histogram([point], temporality), name="latency")
        assert {Kind.OBSERVATION} >= {sample.kind for sample in samples}
        return [sample.value for sample in samples]


def test_a_cumulative_sum_is_what_was_added_since_the_last_collection():
    """The first point is all of it; one that says the same again is none."""
    points = Points()
    told = [points.total(value) for value in (0, 10, 10, 25)]
    assert [[(None, 0)], [(None, 10)], [], [(None, 15)]] == told
    assert 3 == points.ledger.recorded


def test_a_cumulative_point_with_a_step_is_taken_once():
    """Its series is collected for ever: the steps that are over must not come back as late rows."""
    points = Points()
    assert [(0, 5)] == points.total(5, {"step": 0})
    for _ in range(3):
        assert [] == points.total(5, {"step": 0})
    assert [(1, 7)] == points.total(7, {"step": 1})
    assert [(0, 1)] == points.total(6, {"step": 0})


def test_a_new_start_time_is_a_reset():
    """The process was restarted: what it counts now comes on top."""
    points = Points()
    assert [(None, 100)] == points.total(100, start=1)
    assert [(None, 3)] == points.total(3, start=50)
    assert [(None, 2)] == points.total(5, start=50)


def test_two_processes_that_nobody_told_apart_are_known_by_their_start_times():
    """They take turns, and neither is a reset of the other."""
    points = Points()
    told = [points.total(value, start=start) for value, start in ((10, 1), (3, 2), (12, 1), (5, 2))]
    assert [10, 3, 2, 2] == [value for [(_, value)] in told]


def test_a_monotonic_sum_that_falls_was_reset():
    """Some senders know no start time; an up-down counter may fall as it likes."""
    points = Points()
    assert [[(None, 100)], [(None, 4)]] == [points.total(value, start=0) for value in (100, 4)]
    points = Points()
    told = [points.total(value, start=0, monotonic=False) for value in (100, 4)]
    assert [[(None, 100)], [(None, -96)]] == told


def test_series_of_other_resources_scopes_and_attributes_are_others():
    """Each goes on from its own last point."""
    points = Points()
    for where in ({}, {"resource": "b"}, {"scope": "other"}, {"name": "requests"}, {"attributes": {"a": 1}}):
        assert [(None, 10)] == points.total(10, **where)
    for value in (1, True, "1", 1.0, [1]):
        assert [(None, 10)] == points.total(10, {"b": value})


def test_a_point_that_was_overtaken_is_not_taken_back():
    """Exports of one process may come in another order than they were made."""
    points = Points()
    assert [(None, 10)] == points.total(10, time=10)
    assert [(None, 10)] == points.total(20, time=20)
    assert [] == points.total(15, time=15)
    assert [(None, 5)] == points.total(25, time=30)


def test_a_gauge_of_a_step_that_says_the_same_again_was_not_measured_again():
    """A gauge without a step is, at every collection."""
    points = Points()
    told = [points.gauge(value, {"step": 1}) for value in (1.0, 1.0, 2.0, float("nan"), float("nan"), 2.0)]
    assert [1, 0, 1, 1, 0, 1] == [len(samples) for samples in told]
    assert [[(None, 1.0)]] * 2 == [points.gauge(1.0) for _ in range(2)]


def test_a_cumulative_histogram_is_what_was_added_since_the_last_collection():
    """Bucket by bucket; the extremes are known where they were passed."""
    points = Points()
    [first] = points.histogram([1, 0, 2], low=0.5, high=9.0)
    [second] = points.histogram([1, 3, 3], low=0.5, high=10.0)
    assert (((0.5, 1, 1), (2, 9.0, 2)), 3, 0.5, 9.0) == (first.intervals, first.count, first.min, first.max)
    assert (((1, 2, 3), (2, 10.0, 1)), 4, 4) == (second.intervals, second.count, second.sum)
    assert (None, 10.0) == (second.min, second.max)
    assert [] == points.histogram([1, 3, 3], low=0.5, high=10.0)


@pytest.mark.parametrize("again", [{"start": 2}, {"bounds": (1, 3)}, {"counts": [0, 0, 1]}], ids=str)
def test_a_histogram_that_does_not_go_on_was_reset(again):
    """By its start time, other bounds, or fewer values than before."""
    points = Points()
    points.histogram([1, 1, 2])
    [buckets] = points.histogram(**{"counts": [1, 2, 3], **again})
    assert sum(again.get("counts", [1, 2, 3])) == buckets.count


def test_a_delta_histogram_is_taken_as_it_is():
    """Each collection of its own."""
    points = Points()
    assert [3, 3] == [points.histogram([1, 0, 2], temporality=DELTA)[0].count for _ in range(2)]


def test_an_empty_histogram_has_a_count_only():
    """And a histogram whose buckets were left out has its count and sum."""
    points = Points()
    [empty] = points.histogram([0, 0, 0], temporality=DELTA)
    assert ((), 0) == (empty.intervals, empty.count)
    point = HistogramDataPoint({}, 1, 2, 3, 6.0, [], [], None, None)
    [sample] = points.of(Histogram([point], DELTA))
    assert ((), 3, 6.0) == (sample.value.intervals, sample.value.count, sample.value.sum)


class Stranger:
    """Data of an aggregation that the specification does not know."""

    data_points = [NumberDataPoint({}, 1, 2, 3)]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            Stranger(),
            "its aggregation is Stranger, which has no place in a row; a gauge, a sum or a histogram",
        ),
        (
            Histogram([HistogramDataPoint({}, 1, 2, 3, 6.0, [1, 2], [1, 2], None, None)], DELTA),
            "a histogram with 2 bounds has one bucket more; got 2",
        ),
        (
            Histogram([HistogramDataPoint({}, 1, 2, 3, 6.0, [1, 1, 1], [2, 1], None, None)], DELTA),
            "the bounds of a histogram rise; got (2, 1)",
        ),
    ],
)
def test_what_has_no_place_in_a_row_is_counted_and_said_once(data, said, caplog):
    """By the name of its instrument."""
    points = Points()
    for _ in range(3):
        assert [] == points.of(data)
    assert ({"undecodable": 3}, 3) == (points.ledger.rejected, points.ledger.recorded)
    [line] = caplog.messages
    assert said in line
    assert "instrument 'tokens'" in line


def test_what_is_remembered_is_bounded(caplog):
    """The series that was silent longest is forgotten, and said once."""
    remembered = Remembered(Ledger(), bound=2)
    for series in ("a", "b", "a", "c", "d"):
        remembered.exchange(series, 1, 1.0)
    assert (True, None) == remembered.exchange("b", 2, 1.0)
    assert (True, 1.0) == remembered.exchange("d", 2, 1.0)
    assert 1 == len(caplog.messages)


VIEWS = {
    "explicit": ExplicitBucketHistogramAggregation([1, 10, 100]),
    "exponential": ExponentialBucketHistogramAggregation(max_size=64),
    "sum": SumAggregation(),
}


@pytest.mark.parametrize("temporality", [DELTA, CUMULATIVE], ids=["delta", "cumulative"])
@pytest.mark.parametrize("steps", [True, False], ids=["steps", "no steps"])
@pytest.mark.parametrize("aggregation", VIEWS.values(), ids=VIEWS.keys())
def test_a_view_with_an_aggregation_of_its_own_adds_up_over_all_collections(temporality, steps, aggregation):
    """Through the SDK itself, whose exponential buckets change their scale from one to the next."""
    reader = InMemoryMetricReader(preferred_temporality=dict.fromkeys(INSTRUMENTS, temporality))
    provider = MeterProvider(
        [reader], views=[View(instrument_name="latency", aggregation=aggregation)], shutdown_on_exit=False
    )
    latency = provider.get_meter("trainer").create_histogram("latency")
    ledger = Ledger()
    decoder = Decoder(default_naming, {}, ledger)
    came = {}
    values = [0, 0.001, 5, 7, 1e6, 0, 3, 1e-9, 250, 250]
    for number, value in enumerate(values):
        latency.record(value, {"step": number // 4} if steps else {})
        if number % 3 == 2:
            latency.record(value, {"step": number // 4} if steps else {})
        for sample in decoder.decode(reader.get_metrics_data()).samples:
            came.setdefault(sample.step, []).append(sample.value)
    wanted = {}
    for number, value in enumerate(values):
        count = 2 if number % 3 == 2 else 1
        wanted.setdefault(number // 4 if steps else None, []).extend([value] * count)
    assert wanted.keys() == came.keys()
    for step, told in wanted.items():
        if isinstance(aggregation, SumAggregation):
            assert sum(told) == pytest.approx(sum(came[step]))
            continue
        assert len(told) == sum(buckets.count for buckets in came[step])
        assert sum(told) == pytest.approx(sum(buckets.sum for buckets in came[step]))
        intervals = [interval for buckets in came[step] for interval in buckets.intervals]
        assert len(told) == sum(count for _, _, count in intervals)
        for value in told:
            assert any(low <= value <= high * (1 + 1e-9) for low, high, _ in intervals), (value, intervals)
