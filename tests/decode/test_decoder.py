"""From data points to samples: every measurement once, everything else by name."""

import logging
import math

import pytest
from foreign_aggregation import ForeignAggregation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, Exemplar, MeterProvider
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
    View,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_wandb_bridge.attributes import LANE_SCOPE, OBSERVED, OWN_SCOPE, SENT_SCOPE, SETTLED_STEP, SHED
from otel_wandb_bridge.decode import Decoder, default_naming, descriptions
from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.record import (
    INSTRUMENTS,
    Intake,
    StepAggregation,
    step_view,
    step_views,
    training_step,
)
from otel_wandb_bridge.records import Kind

DELTA, CUMULATIVE = AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE


class Decoding:
    """A decoder and its ledger; with a provider to record through, or points made by hand."""

    def __init__(self, *, naming=default_naming, priorities=(), keep=True, bound=100_000, **options):
        aggregation = {
            "preferred_aggregation": dict.fromkeys(INSTRUMENTS, StepAggregation(Intake(bound=bound)))
        }
        self.reader = InMemoryMetricReader(
            preferred_temporality=dict.fromkeys(INSTRUMENTS, DELTA), **(aggregation if keep else {})
        )
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False, **options)
        self.meter = self.provider.get_meter("trainer")
        self.ledger = Ledger()
        self.decoder = Decoder(naming, dict(priorities), self.ledger)

    def samples(self):
        """The samples of what was recorded since the last call."""
        return self.decoder.decode(self.reader.get_metrics_data()).samples

    def of(self, *metrics, scope="trainer"):
        """The samples of metrics made by hand."""
        return self.decoder.decode(collection(*metrics, scope=scope)).samples


def collection(*metrics, scope="trainer"):
    scope_metrics = ScopeMetrics(InstrumentationScope(scope), list(metrics), "")
    return MetricsData([ResourceMetrics(Resource({}), [scope_metrics], "")])


def total(value, attributes=None, exemplars=(), *, name="tokens", temporality=DELTA, time=5_000_000_000):
    point = NumberDataPoint(attributes or {}, 0, time, value, list(exemplars))
    return Metric(name, "", "", Sum([point], temporality, is_monotonic=True))


def gauge(value, attributes=None, exemplars=(), *, name="loss", time=5_000_000_000):
    return Metric(name, "", "", Gauge([NumberDataPoint(attributes or {}, 0, time, value, list(exemplars))]))


def histogram(count, sum_, min_, max_, attributes=None, *, name="latency", exemplars=()):
    point = HistogramDataPoint(
        attributes or {}, 0, 5_000_000_000, count, sum_, [count], [], min_, max_, list(exemplars)
    )
    return Metric(name, "", "", Histogram([point], DELTA))


def kept(value, step, time=1_000_000_000, **attributes):
    """An exemplar as a keep-all reservoir makes them."""
    return Exemplar({SETTLED_STEP: step, **attributes}, value, time)


def brief(samples):
    return [(sample.key, sample.step, sample.value) for sample in samples]


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        (total, Kind.INCREMENT),
        (gauge, Kind.VALUE),
        (lambda *a: histogram(3, *a[:1] * 3, *a[1:]), Kind.OBSERVATION),
    ],
    ids=["sum", "gauge", "histogram"],
)
def test_our_exemplars_are_the_samples_and_the_aggregate_is_ignored(metric, kind):
    """A value is never counted twice."""
    decoding = Decoding()
    made = metric(999.0, {"rank": 0})
    made.data.data_points[0].exemplars.extend([kept(1.0, 7), kept(2.0, 8)])
    samples = decoding.of(made)
    assert [(f"{made.name}/rank_0", 7, 1.0), (f"{made.name}/rank_0", 8, 2.0)] == brief(samples)
    assert {(kind, 1.0)} == {(sample.kind, sample.time) for sample in samples}
    assert 2 == decoding.ledger.recorded


def test_every_value_of_an_exponential_histogram_is_a_sample():
    """Zeros too, which the SDK itself offers to no reservoir."""
    view = step_view(instrument_name="latency", aggregation=ExponentialBucketHistogramAggregation())
    decoding = Decoding(views=[view])
    latency = decoding.meter.create_histogram("latency")
    for value in (0, 3, 0):
        latency.record(value, {"step": 1})
    samples = decoding.samples()
    assert [("latency", 1, 0), ("latency", 1, 3), ("latency", 1, 0)] == brief(samples)
    assert {Kind.OBSERVATION} == {sample.kind for sample in samples}


def test_a_point_of_ours_without_measurements_is_no_sample():
    """A cumulative series is collected at every interval, whether or not it was measured."""
    decoding = Decoding()
    assert [] == decoding.of(total(999, {}, [Exemplar({SETTLED_STEP: True}, 0, 0)]))
    assert 0 == decoding.ledger.recorded


def test_a_reading_is_known_as_one():
    """What an observable says is read again at the next collection, so nobody need miss it."""
    decoding = Decoding()
    decoding.meter.create_observable_counter("seen", [lambda _: [Observation(3, {"step": 1})]])
    decoding.meter.create_observable_gauge("queue", [lambda _: [Observation(4, {"step": 1})]])
    samples = decoding.samples()
    assert {("seen", 1, 3), ("queue", 1, 4)} == set(brief(samples))
    assert {Kind.READING} == {sample.kind for sample in samples}


def test_samples_come_in_the_order_of_measurement():
    """Across metrics, points and scopes: of two values of one key, the later one wins."""
    decoding = Decoding()
    first = gauge(0, {}, [kept(3, 1, time=3_000_000_000), kept(1, 1, time=1_000_000_000)])
    second = total(0, {}, [kept(2, 1, time=2_000_000_000)])
    assert [1, 2, 3] == [sample.value for sample in decoding.of(first, second)]


def test_the_beginning_of_the_collection_is_told():
    """What was measured later is not complete yet."""
    decoded = Decoding().decoder.decode(collection(gauge(1.0, time=7_500_000_000), scope=OWN_SCOPE))
    assert ([], 7.5) == decoded


@pytest.mark.parametrize("scope", [OWN_SCOPE, LANE_SCOPE, "opentelemetry-sdk"])
def test_the_bridge_does_not_report_on_itself(scope):
    """Neither what its own metrics say nor what the direct lane shows; nor the SDK's view of itself."""
    decoding = Decoding()
    assert [] == decoding.of(gauge(1.0), gauge(1.0, {}, [kept(1.0, 1)]), scope=scope)
    assert 0 == decoding.ledger.recorded


def test_who_reports_is_said_by_measurement_then_series_then_scope():
    """Rank 0 is a source like any other; an empty name is none."""
    decoding = Decoding()
    for said, source in (
        ("trainer 7", "trainer 7"),
        (0, "0"),
        ("", "scope"),
        (None, "scope"),
        (["a"], "['a']"),
    ):
        [plain] = decoding.of(gauge(1.0, {"source": said}), scope="scope")
        [of_series] = decoding.of(gauge(1.0, {"source": said}, [kept(1.0, 1)]), scope="scope")
        [of_measurement] = decoding.of(gauge(1.0, {}, [kept(1.0, 1, source=said)]), scope="scope")
        assert source == plain.source == of_series.source == of_measurement.source


def test_priority_is_said_by_measurement_then_series_then_options():
    """5 where nothing is said."""
    decoding = Decoding(priorities={"trainer": 1})
    assert 1 == decoding.of(gauge(1.0))[0].priority
    assert 5 == decoding.of(gauge(1.0), scope="other")[0].priority
    assert 2 == decoding.of(gauge(1.0, {"priority": 2}))[0].priority
    assert 3 == decoding.of(gauge(1.0, {"priority": "3"}, [kept(1.0, 1)]))[0].priority
    assert 0 == decoding.of(gauge(1.0, {}, [kept(1.0, 1, priority=0)]))[0].priority


@pytest.mark.parametrize("priority", [-1, 11, "high", True, 2.5])
def test_a_bad_priority_is_said_once_and_the_default_used(caplog, priority):
    """The value counts more than its rank."""
    decoding = Decoding(priorities={"trainer": 1})
    samples = decoding.of(gauge(1.0, {}, [kept(1.0, step, priority=priority) for step in range(3)]))
    assert [1, 1, 1] == [sample.priority for sample in samples]
    assert 1 == len(caplog.messages)
    assert "a priority is an int" in caplog.text


def test_words_of_the_bridge_are_no_part_of_a_key():
    """Step, source and priority have a place of their own; all other attributes tell series apart."""
    decoding = Decoding(views=step_views())
    attributes = {"step": 1, "source": "trainer", "priority": 1, "rank": 0}
    decoding.meter.create_gauge("loss").set(1.0, attributes)
    assert [("loss/rank_0", 1, 1.0)] == brief(decoding.samples())
    assert [("loss/rank_0", 1, 1.0)] == brief(decoding.of(gauge(1.0, attributes)))


def test_an_attribute_that_a_view_took_from_the_series_tells_nothing_apart():
    """It came along as a filtered attribute of the exemplar; the user's view says that it is not wanted."""
    decoding = Decoding(views=[View(instrument_name="loss", attribute_keys={"split"})])
    instrument = decoding.meter.create_gauge("loss")
    for rank in range(3):
        instrument.set(rank, {"step": 1, "split": "val", "rank": rank})
    assert [("loss/split_val", 1, rank) for rank in range(3)] == brief(decoding.samples())


@pytest.mark.parametrize("bad", [-1, "x", float("nan"), True, 1.5, [1], object(), b"5", float("inf")])
def test_a_bad_step_is_counted_and_said_once_for_an_instrument(caplog, bad):
    """Through a real gauge: nothing is raised, nothing is taken for another step, all others arrive."""
    decoding = Decoding(views=step_views())
    loss, reward = decoding.meter.create_gauge("loss"), decoding.meter.create_gauge("reward")
    caplog.clear()
    for step in range(10):
        loss.set(step, {"step": bad})
        loss.set(step, {"step": step})
    reward.set(1.0, {"step": bad})
    caplog.set_level(logging.WARNING, "otel_wandb_bridge")
    caplog.clear()
    assert [("loss", step, step) for step in range(10)] == brief(decoding.samples())
    assert {"step": 11} == decoding.ledger.rejected
    assert 21 == decoding.ledger.recorded
    assert 2 == len(caplog.messages)
    assert "'loss'" in caplog.messages[0]
    assert "a step is an int, 0 or greater; source 'trainer'" in caplog.messages[0]


def test_each_bad_step_is_said_once_for_all(caplog):
    """A thousand other bad steps of one instrument are one line."""
    decoding = Decoding(views=step_views())
    loss = decoding.meter.create_gauge("loss")
    for step in range(-1000, 0):
        loss.set(1.0, {"step": step})
    assert [] == decoding.samples()
    assert {"step": 1000} == decoding.ledger.rejected
    assert 1 == len(caplog.messages)


@pytest.mark.parametrize("views", [(), step_views()], ids=["labels", "views"])
def test_more_than_two_thousand_steps_of_one_interval_all_arrive(views):
    """The overflow point of the SDK (1.45.2) is full of measurements, each with its own step and series."""
    decoding = Decoding(views=views)
    loss = decoding.meter.create_gauge("loss")
    for step in range(5000):
        loss.set(step, {"step": step, "rank": step % 2, "source": f"rank {step % 2}"})
    samples = sorted(decoding.samples(), key=lambda sample: sample.step)
    assert [(f"loss/rank_{step % 2}", step, step) for step in range(5000)] == brief(samples)
    assert {"rank 0", "rank 1"} == {sample.source for sample in samples}


def test_series_past_the_limit_keep_their_own_values_without_a_step_too():
    """They meet in one overflow point, and do not override one another there."""
    decoding = Decoding()
    loss = decoding.meter.create_gauge("loss")
    for rank in range(2500):
        loss.set(rank, {"rank": rank})
    assert {(f"loss/rank_{rank}", None, rank) for rank in range(2500)} == set(brief(decoding.samples()))
    assert 0 == decoding.ledger.overridden


def test_an_overflow_point_without_our_exemplars_is_reported_and_no_series():
    """It is the sum of what nobody can tell apart any more."""
    decoding = Decoding()
    points = [
        gauge(1.0, {"otel.metric.overflow": True}),
        histogram(2, 3.0, 1.0, 2.0, {"otel.metric.overflow": True}),
    ]
    assert [] == decoding.of(*points)
    assert {"overflow": 2} == decoding.ledger.rejected
    assert 2 == decoding.ledger.recorded


def test_what_a_full_reservoir_shed_is_counted_and_said(caplog):
    """Recorded, and lost."""
    decoding = Decoding(bound=3)
    loss = decoding.meter.create_gauge("loss")
    for step in range(10):
        with training_step(step):
            loss.set(step)
    assert [0, 1, 2] == [sample.step for sample in decoding.samples()]
    assert (10, 7) == (decoding.ledger.recorded, decoding.ledger.shed)
    assert "'loss': it is recorded faster than it is collected" in caplog.text


def test_unstepped_gauge_measurements_of_one_interval_collapse_to_the_last():
    """As they do for every other reader; the rest is counted as overridden."""
    decoding = Decoding()
    loss = decoding.meter.create_gauge("loss")
    for value in range(5):
        loss.set(value)
    assert [("loss", None, 4)] == brief(decoding.samples())
    assert (5, 4) == (decoding.ledger.recorded, decoding.ledger.overridden)


def test_unstepped_measurements_collapse_only_within_their_key():
    """Each series has a last one."""
    decoding = Decoding()
    loss = decoding.meter.create_gauge("loss")
    for value in range(6):
        loss.set(value, {"rank": value % 3})
    assert {(f"loss/rank_{rank}", None, rank + 3) for rank in range(3)} == set(brief(decoding.samples()))
    assert 3 == decoding.ledger.overridden


def test_of_unstepped_measurements_the_higher_priority_stands():
    """The rule of a row, which they never get to."""
    decoding = Decoding(views=step_views())
    loss = decoding.meter.create_gauge("loss")
    for value, priority in ((1, 5), (2, 0), (3, 0), (4, 9)):
        loss.set(value, {"priority": priority})
    assert [(3, 0)] == [(sample.value, sample.priority) for sample in decoding.samples()]
    assert 3 == decoding.ledger.overridden


def test_unstepped_increments_and_observations_are_all_kept():
    """They add up, wherever they land."""
    decoding = Decoding()
    counter, latency = decoding.meter.create_counter("tokens"), decoding.meter.create_histogram("latency")
    for value in range(4):
        counter.add(value)
        latency.record(value)
    assert [0, 0, 1, 1, 2, 2, 3, 3] == sorted(sample.value for sample in decoding.samples())


@pytest.mark.parametrize("step", [7, "7", 7.0])
@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        (total, Kind.INCREMENT),
        (lambda *point: total(*point, temporality=CUMULATIVE), Kind.INCREMENT),
        (gauge, Kind.VALUE),
    ],
    ids=["delta sum", "cumulative sum", "gauge"],
)
def test_a_point_without_our_exemplars_is_itself_the_sample(metric, kind, step):
    """With the step from its attributes: the SDKs of other languages know no reservoir of ours."""
    [sample] = Decoding().of(metric(3, {"step": step, "rank": 1}))
    assert 7 == sample.step
    assert (3, kind, 5.0) == (sample.value, sample.kind, sample.time)
    assert sample.key.endswith("/rank_1")


def test_a_point_without_a_step_is_unstepped():
    """The clock is of this process, and the point may not be."""
    with training_step(9):
        assert [("loss", None, 1.0)] == brief(Decoding().of(gauge(1.0)))


@pytest.mark.parametrize("step", [-1, "x", None, math.nan])
def test_a_point_with_a_bad_step_is_counted(step):
    """Each as one sample."""
    decoding = Decoding()
    assert [] == decoding.of(histogram(2, 3.0, 1.0, 2.0, {"step": step}), gauge(1.0, {"step": step}))
    assert {"step": 2} == decoding.ledger.rejected
    assert 2 == decoding.ledger.recorded


HISTOGRAMS = [
    ExplicitBucketHistogramAggregation(),
    ExplicitBucketHistogramAggregation([10]),
    ExponentialBucketHistogramAggregation(),
]


@pytest.mark.parametrize("aggregation", HISTOGRAMS, ids=["explicit", "ten", "exponential"])
def test_a_histogram_without_our_exemplars_is_its_buckets(aggregation):
    """Its values are gone; where they lie, how many, their sum, the least and the greatest are left."""
    decoding = Decoding(keep=False, views=[View(instrument_name="latency", aggregation=aggregation)])
    latency = decoding.meter.create_histogram("latency")
    for value in (0, 1, 2, 5):
        latency.record(value, {"step": 3})
    [sample] = decoding.samples()
    assert ("latency", 3, Kind.OBSERVATION) == (sample.key, sample.step, sample.kind)
    buckets = sample.value
    assert (4, 8, 0, 5) == (buckets.count, buckets.sum, buckets.min, buckets.max)
    assert 4 == sum(count for _, _, count in buckets.intervals)


def test_exemplars_that_the_sdk_sampled_are_not_taken_for_ours():
    """Even with the step among their attributes: they are a few of many, and the point is the sample."""
    decoding = Decoding(
        keep=False,
        exemplar_filter=AlwaysOnExemplarFilter(),
        views=[View(instrument_name="*", attribute_keys=set())],
    )
    counter = decoding.meter.create_counter("tokens")
    for step in range(50):
        counter.add(1, {"step": step})
    collected = decoding.reader.get_metrics_data()
    [point] = collected.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert ["step"] == [key for exemplar in point.exemplars for key in exemplar.filtered_attributes]
    assert [("tokens", None, 50)] == brief(decoding.decoder.decode(collected).samples)


def test_a_view_of_the_user_s_own_that_bypasses_the_reservoir_is_not_lost():
    """Its points are samples, beside the measurements of all other instruments."""
    decoding = Decoding(
        views=[
            *step_views(),
            View(instrument_name="latency", aggregation=ExplicitBucketHistogramAggregation([1])),
        ]
    )
    decoding.meter.create_histogram("latency").record(3, {"step": 2})
    decoding.meter.create_histogram("tokens").record(3, {"step": 2})
    samples = decoding.samples()
    assert {"latency", "tokens"} == {sample.key for sample in samples}
    assert {2} == {sample.step for sample in samples}


def test_series_that_the_naming_calls_the_same_are_told_apart():
    """Two metrics, and attributes that are equal to Python alone."""
    decoding = Decoding()
    samples = decoding.of(
        gauge(1.0, name="latency.count"),
        gauge(2.0, name="latency/count"),
        gauge(4.0, {"a": 1}),
        gauge(5.0, {"a": "1"}),
        gauge(6.0, {"a": 1.0}, [kept(6.0, 1)]),
        gauge(7.0, {"a": True}, [kept(7.0, 1)]),
        gauge(8.0, {"a": [1]}),
    )
    assert len(samples) == len({sample.key for sample in samples})


def test_one_metric_in_two_scopes_is_one_key():
    """There, priority decides."""
    decoding = Decoding()
    assert decoding.of(gauge(1.0), scope="a")[0].key == decoding.of(gauge(1.0), scope="b")[0].key


class Undecodable:
    """A data point of no known kind."""

    attributes, exemplars, time_unix_nano = {}, (), 1


def test_what_cannot_be_decoded_does_not_take_the_others_with_it(caplog):
    """Point by point, counted and said once for an instrument."""

    def naming(name, attributes):
        if attributes.get("rank") == 1:
            raise KeyError("no such rank")
        return default_naming(name, attributes)

    decoding = Decoding(naming=naming)
    strange = Metric("strange", "", "", Gauge([Undecodable(), *gauge(0, name="strange").data.data_points]))
    samples = decoding.of(
        strange,
        *(gauge(rank, {"rank": rank}) for rank in range(3)),
        *(gauge(9, {"rank": rank}, [kept(9, 1), kept(9, 2)]) for rank in range(3)),
        gauge(0, {"rank": 0}, [kept(7, 1), kept("x", 1), kept(object(), 1, source="a"), kept(9, 1)]),
    )
    assert sorted(
        [
            ("strange", 0),
            ("loss/rank_0", 0),
            ("loss/rank_2", 2),
            *[("loss/rank_0", 9), ("loss/rank_2", 9)] * 2,
            ("loss/rank_0", 7),
            ("loss/rank_0", 9),
        ]
    ) == sorted((sample.key, sample.value) for sample in samples)
    assert {"undecodable": 6} == decoding.ledger.rejected
    assert len(samples) + 6 == decoding.ledger.recorded
    assert 2 == len(caplog.messages)
    assert "no such rank" in caplog.text


words = st.sampled_from(
    ["step", "source", "priority", "rank", "otel.metric.overflow", SETTLED_STEP, OBSERVED]
)
scraps = st.sampled_from(
    [0, 1, 7, -1, 0.5, True, False, None, "1", "x", math.nan, (1,), [1], {"a": 1}, "boom"]
)
attribute_sets = st.dictionaries(words, scraps, max_size=3)
numbers = st.sampled_from([0, 1, 2.5, -1, math.nan, 10**30])
exemplars = st.lists(
    st.one_of(
        st.builds(
            kept,
            numbers | st.just("x"),
            st.sampled_from([0, 7, 2**40, False, True, "unusable"]),
            st.integers(0, 10**18),
            source=scraps,
            priority=scraps,
            rank=scraps,
        ),
        st.builds(lambda count: Exemplar({SETTLED_STEP: True, SHED: count}, 0, 0), st.integers(0, 1000)),
        st.builds(
            Exemplar, st.none() | st.fixed_dictionaries({"step": scraps}), numbers, st.integers(0, 10**18)
        ),
    ),
    max_size=6,
)
names = st.sampled_from(["loss", "a.b", "a/b", "latency.count"])
metrics = st.one_of(
    st.builds(gauge, numbers, attribute_sets, exemplars, name=names),
    st.builds(
        total,
        numbers,
        attribute_sets,
        exemplars,
        name=names,
        temporality=st.sampled_from([DELTA, CUMULATIVE]),
    ),
    st.builds(
        histogram,
        st.integers(0, 3),
        numbers | st.none(),
        numbers,
        numbers,
        attribute_sets,
        exemplars=exemplars,
    ),
    st.builds(lambda name: Metric(name, "", "", Gauge([Undecodable()])), names),
)


def explosive_naming(name, attributes):
    if "boom" in attributes.values():
        raise RuntimeError("boom")
    return "" if attributes.get("rank") == "x" else default_naming(name, attributes)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.lists(metrics, max_size=4), max_size=3), st.sampled_from(["trainer", OWN_SCOPE]))
def test_all_that_was_recorded_is_accounted_for(collections, scope):
    """recorded = samples + rejected + shed + collapsed, whatever comes, and nothing is raised."""
    ledger = Ledger()
    decoder = Decoder(explosive_naming, {}, ledger)
    samples = []
    for metrics in collections:
        samples += decoder.decode(collection(*metrics, scope=scope)).samples
    rejected = sum(ledger.rejected.values())
    assert ledger.recorded == len(samples) + rejected + ledger.shed + ledger.overridden
    points = [point for metrics in collections for metric in metrics for point in metric.data.data_points]
    ours = [
        exemplar.filtered_attributes
        for point in points
        for exemplar in point.exemplars
        if exemplar.filtered_attributes and SETTLED_STEP in exemplar.filtered_attributes
    ]
    least = sum(1 for each in ours if each[SETTLED_STEP] is not True) + sum(
        each.get(SHED, 0) for each in ours
    )
    assert ledger.recorded >= (least if scope == "trainer" else 0)
    assert all(sample.step is None or 0 <= sample.step < 2**63 for sample in samples)
    assert all(sample.key and 0 <= sample.priority <= 10 for sample in samples)
    if scope == OWN_SCOPE:
        assert 0 == ledger.recorded


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (5, "naming must return a non-empty string for 'loss'; got 5"),
        ("", "naming must return a non-empty string for 'loss'; got ''"),
        ("_step", "W&B sets '_step' itself; give the metric 'loss' another name, or a naming"),
        ("_timestamp", "W&B sets '_timestamp' itself"),
        ("loss\ud800", "naming must return text in UTF-8 for 'loss'; got 'loss\\ud800'"),
    ],
)
def test_a_key_that_wandb_does_not_take_is_counted_and_said_once(key, said, caplog):
    """For data points and measurements alike; W&B itself throws some away without a word."""
    decoding = Decoding(naming=lambda *_: key)
    assert [] == decoding.of(gauge(1.0), gauge(1.0, {}, [kept(1.0, 1), kept(1.0, 2)]))
    assert ({"key": 3}, 3) == (decoding.ledger.rejected, decoding.ledger.recorded)
    [line] = caplog.messages
    assert line.startswith("key: instrument 'loss': ")
    assert said in line


def test_a_metric_is_described_once():
    """Unit, description and scope by its key; more scopes of one key are a list."""
    decoding = Decoding()
    meter = decoding.meter
    meter.create_histogram("latency.queue", unit="ms", description="Time in the queue").record(1, {"rank": 0})
    meter.create_counter("tokens").add(1)
    decoding.samples()
    assert {
        "latency/queue": {"unit": "ms", "description": "Time in the queue", "scope": "trainer"},
        "tokens": {"scope": "trainer"},
    } == decoding.decoder.descriptions.news()
    decoding.provider.get_meter("a").create_counter("tokens", unit="1").add(1)
    decoding.samples()
    assert {"tokens": {"scope": ["a", "trainer"]}} == decoding.decoder.descriptions.news()
    meter.create_counter("tokens").add(1)
    decoding.samples()
    assert {} == decoding.decoder.descriptions.news()


@pytest.mark.parametrize("scope", [OWN_SCOPE, LANE_SCOPE, SENT_SCOPE, "opentelemetry-sdk"])
def test_what_has_nothing_to_say_is_not_described(scope):
    """The bridge's own metrics, and calls of `Bridge.log`."""
    decoding = Decoding()
    decoding.of(gauge(1.0), scope=scope)
    assert {} == decoding.decoder.descriptions.news()


def test_a_naming_that_cannot_do_without_attributes_is_no_obstacle():
    """The metric's own name stands; a key that is none is left out."""
    decoding = Decoding(naming=lambda name, attributes: f"{name}/{attributes['rank']}")
    assert ["loss/0"] == [sample.key for sample in decoding.of(gauge(1.0, {"rank": 0}))]
    assert {"loss": {"scope": "trainer"}} == decoding.decoder.descriptions.news()
    decoding = Decoding(naming=lambda *_: None)
    decoding.of(gauge(1.0))
    assert {} == decoding.decoder.descriptions.news()


def test_ever_new_metrics_are_not_described_without_end(monkeypatch):
    """The config of the run is no place for them."""
    monkeypatch.setattr(descriptions, "MOST_METRICS", 2)
    decoding = Decoding()
    decoding.of(*(gauge(1.0, name=name) for name in "abc"))
    assert ["a", "b"] == [*decoding.decoder.descriptions.news()]


def test_an_aggregation_that_the_sdk_does_not_know_is_rejected_and_said(caplog):
    """It would give out the data of the instrument before under another name."""
    decoding = Decoding(views=[View(instrument_name="latency", aggregation=ForeignAggregation())])
    decoding.meter.create_counter("tokens").add(7, {"step": 1})
    decoding.meter.create_histogram("latency").record(3, {"step": 1})
    assert [("tokens", 1, 7)] == brief(decoding.samples())
    assert ({"aggregation": 1}, 2) == (decoding.ledger.rejected, decoding.ledger.recorded)
    assert "'latency': the SDK does not know the aggregation of its view" in caplog.text
    assert "the data of 'tokens'" in caplog.text
