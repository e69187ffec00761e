"""The aggregation belongs to one reader, and hands every measurement to its reservoirs."""

from collections import Counter

import pytest
from opentelemetry.context import Context
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics import Counter as CounterInstrument
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import DropAggregation, ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.trace import TracerProvider
from recorder import Recorder, SevenInstruments, points_of

from otel_wandb_bridge.attributes import LANE_SCOPE, OBSERVED, SETTLED_STEP
from otel_wandb_bridge.record import (
    INSTRUMENTS,
    Intake,
    StepAggregation,
    step_aggregation,
    step_view,
    step_views,
    training_step,
)
from otel_wandb_bridge.record.reservoir import KeepAllReservoir

DELTA, CUMULATIVE = AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE


class Measurement:
    """What an aggregation asks of a measurement."""

    time_unix_nano = 1
    attributes = {"step": 7}
    context = Context()

    def __init__(self, value):
        self.value = value


@pytest.mark.parametrize("kind", SevenInstruments.KINDS)
@pytest.mark.parametrize("temporality", [DELTA, CUMULATIVE], ids=["delta", "cumulative"])
@pytest.mark.parametrize("views", [(), step_views()], ids=["labels", "views"])
def test_every_measurement_of_every_instrument_arrives_once(kind, temporality, views):
    """Over three collections, the second of which finds nothing new."""
    recorder = Recorder(views=views, temporality=temporality)
    instruments = SevenInstruments(recorder.meter)
    is_observable = kind.startswith("observable")
    for steps in (range(50), range(0), range(50, 80)):
        for step in steps:
            with training_step(step):
                instruments.record(kind, step, {"rank": step % 3})
                instruments.record(kind, step + 0.5, {"rank": step % 3, "step": step + 1000})
        exemplars = recorder.exemplars()
        # An observable is asked in the reader's thread, where no block is entered: the clock counts.
        said = [(step, steps[-1] if is_observable else step) for step in steps]
        said += [(step + 0.5, step + 1000) for step in steps]
        assert sorted(said) == sorted((e.value, e.filtered_attributes[SETTLED_STEP]) for e in exemplars)
        assert all(is_observable == (OBSERVED in e.filtered_attributes) for e in exemplars)


@pytest.mark.parametrize("temporality", [DELTA, CUMULATIVE], ids=["delta", "cumulative"])
def test_an_exponential_histogram_keeps_its_zeros(temporality):
    """The SDK offers none of them to a reservoir."""
    exponential = step_view(instrument_name="*", aggregation=ExponentialBucketHistogramAggregation())
    recorder = Recorder(views=[exponential], temporality=temporality)
    histogram = recorder.meter.create_histogram("tokens")
    for value in (0, 0.0, 3, 0):
        histogram.record(value)
    assert [0, 0.0, 3, 0] == [exemplar.value for exemplar in recorder.exemplars()]


def test_more_than_two_thousand_steps_of_one_interval_all_arrive_without_views():
    """The SDK folds the series past 2,000 into one, whose exemplars still carry the steps."""
    recorder = Recorder()
    gauge = recorder.meter.create_gauge("loss")
    for step in range(5000):
        gauge.set(float(step), {"step": step, "rank": 1})
    arrived = sorted(recorder.exemplars(), key=lambda exemplar: exemplar.value)
    assert list(range(5000)) == [exemplar.filtered_attributes[SETTLED_STEP] for exemplar in arrived]


@pytest.mark.parametrize("kind", ["counter", "up_down_counter", "histogram", "gauge"])
def test_a_collection_between_the_two_halves_of_a_measurement_leaves_nothing_behind(kind, monkeypatch):
    """A reader may collect before, between and after: the delta of a series that rests holds all of it.

    Before 1.45.2 nothing keeps it from doing so, and in the SDK's order (aggregate, then offer) the
    measurement would stay in the reservoir until that series is measured again, perhaps never.
    """
    arrived = []

    def collect():
        point = aggregation.collect(DELTA, 2)
        arrived.extend(
            e.value for e in (point.exemplars if point else ()) if e.filtered_attributes[SETTLED_STEP] == 7
        )

    offer = KeepAllReservoir.offer

    def offer_while_collecting(*measurement):
        collect()
        offer(*measurement)
        collect()

    monkeypatch.setattr(KeepAllReservoir, "offer", offer_while_collecting)
    instrument = getattr(Recorder().meter, f"create_{kind}")("loss")
    aggregation = StepAggregation(Intake())._create_aggregation(instrument, {}, None, 0)
    for value in (1, 2, 3):
        aggregation.aggregate(Measurement(value))
    collect()
    assert [1, 2, 3] == arrived


def test_the_aggregates_are_what_they_would_be_without_us():
    """Another exporter that is given our aggregation exports the same sums and buckets."""
    ours, plain = Recorder(temporality=CUMULATIVE), InMemoryMetricReader()
    _record_a_bit_of_everything(ours.meter)
    _record_a_bit_of_everything(MeterProvider([plain], shutdown_on_exit=False).get_meter("trainer"))
    expected = _aggregates(plain)
    assert 7 == len(expected)
    assert expected == _aggregates(ours.reader)


@pytest.mark.parametrize(
    "options", [{}, {"exemplar_filter": AlwaysOnExemplarFilter()}], ids=["traced", "always"]
)
def test_other_readers_see_nothing_of_it(options):
    """Same points, and as many exemplars from the SDK's own reservoirs, as without our reader."""
    alone, beside = InMemoryMetricReader(), InMemoryMetricReader()
    ours = Recorder(readers=[beside], **options)
    _record_a_bit_of_everything(
        MeterProvider([alone], shutdown_on_exit=False, **options).get_meter("trainer")
    )
    _record_a_bit_of_everything(ours.meter)
    assert 23 == len(ours.exemplars())
    alone, beside = points_of(alone), points_of(beside)
    assert _without_times(alone) == _without_times(beside)
    said = [exemplar.filtered_attributes or {} for _, point in beside for exemplar in point.exemplars]
    assert 4 <= len(said)
    assert not {key for attributes in said for key in attributes if key.startswith("wandb.")}


def test_the_instruments_are_the_seven():
    """Each kind once, by the class that a reader asks for."""
    assert 7 == len(set(INSTRUMENTS))
    recorder = Recorder()
    instruments = SevenInstruments(recorder.meter)
    for kind in SevenInstruments.KINDS:
        instruments.record(kind, 1)
    assert set(SevenInstruments.KINDS) == {metric.name for metric, _ in points_of(recorder.reader)}


def test_each_instrument_is_announced():
    """From the first measurement on, the exporter can find its reader."""
    announced = Counter()
    recorder = Recorder(on_instrument=lambda instrument: announced.update([instrument.name]))
    recorder.meter.create_counter("tokens").add(1)
    recorder.meter.create_gauge("loss").set(1)
    assert {"tokens", "loss"} == set(announced)


def test_what_the_direct_lane_shows_is_not_recorded_again():
    """It has its own way to W&B, and other readers see it all the same."""
    other = InMemoryMetricReader()
    recorder = Recorder(readers=[other])
    recorder.provider.get_meter(LANE_SCOPE).create_gauge("loss").set(1.0)
    assert [] == points_of(recorder.reader)
    assert ["loss"] == [metric.name for metric, _ in points_of(other)]


@pytest.mark.parametrize("view", [View, step_view])
def test_a_view_that_drops_an_instrument_drops_it(view, monkeypatch):
    """Also one made with `step_view`: nothing is offered to a reservoir that nobody would collect."""
    offered = []
    monkeypatch.setattr(KeepAllReservoir, "offer", lambda *measurement: offered.append(measurement))
    recorder = Recorder(views=[view(instrument_name="noise", aggregation=DropAggregation())])
    recorder.meter.create_gauge("noise").set(1.0)
    assert [] == offered == points_of(recorder.reader)


def test_another_exporter_can_carry_the_steps_too():
    """`step_aggregation` is a `preferred_aggregation`, one for each exporter."""
    first, second = step_aggregation(), step_aggregation()
    assert set(INSTRUMENTS) == set(first)
    assert not {id(each) for each in first.values()} & {id(each) for each in second.values()}
    reader = InMemoryMetricReader(preferred_aggregation=first)
    recorder = Recorder(readers=[reader])
    counter = recorder.meter.create_counter("tokens")
    for step in range(3):
        counter.add(step, {"step": step})
    carried = [
        (exemplar.value, exemplar.filtered_attributes[SETTLED_STEP])
        for _, point in points_of(reader)
        for exemplar in point.exemplars
    ]
    assert [(0, 0), (1, 1), (2, 2)] == sorted(carried)
    assert [0, 1, 2] == sorted(recorder.steps())


def test_one_instrument_alone_may_be_given_the_aggregation():
    """A reader keeps what it is asked to keep; its other instruments stay with the SDK."""
    reader = InMemoryMetricReader(preferred_aggregation={CounterInstrument: StepAggregation(Intake())})
    meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("trainer")
    meter.create_counter("tokens").add(1)
    meter.create_gauge("loss").set(1.0)
    assert {"tokens": 1, "loss": 0} == {
        metric.name: len(point.exemplars) for metric, point in points_of(reader)
    }


def _record_a_bit_of_everything(meter):
    instruments = SevenInstruments(meter)
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("trainer")
    for step in range(5):
        with training_step(step), tracer.start_as_current_span("step"):
            for kind in ("counter", "up_down_counter", "histogram", "gauge"):
                instruments.record(kind, step * 10, {"rank": 1})
    for kind in ("counter", "up_down_counter", "gauge"):
        getattr(meter, f"create_observable_{kind}")(kind + ".seen", [lambda _: [Observation(3, {"rank": 1})]])


def _aggregates(reader):
    return sorted((metric.name, _aggregate(point)) for metric, point in points_of(reader))


def _without_times(points):
    return sorted(
        # Which measurements the SDK samples is up to chance; how many, and what they carry, is not.
        (
            metric.name,
            sorted(point.attributes.items()),
            _aggregate(point),
            len(point.exemplars),
            {tuple(exemplar.filtered_attributes or ()) for exemplar in point.exemplars},
        )
        for metric, point in points
    )


def _aggregate(point):
    if hasattr(point, "value"):
        return (point.value,)
    return point.sum, point.count, point.min, point.max, tuple(point.bucket_counts)
