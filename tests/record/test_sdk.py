"""Guards for what is private in the OpenTelemetry SDK and used all the same.

Each test fails with a sentence that says what changed; `record` leans on it in `sdk`, `aggregation`, `views`.
"""

import inspect

import opentelemetry.sdk.metrics
import opentelemetry.sdk.version
import pytest
from foreign_aggregation import ForeignAggregation
from opentelemetry.context import Context
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ConsoleMetricExporter,
    InMemoryMetricReader,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import (
    Aggregation,
    DefaultAggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    LastValueAggregation,
    SumAggregation,
    View,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from recorder import Recorder, SevenInstruments, points_of

from otel_wandb_bridge.record import INSTRUMENTS, Intake, StepAggregation, step_view, step_views
from otel_wandb_bridge.record.sdk import (
    add_views,
    consumer_of,
    is_aggregation_known,
    leave_out_unknown_aggregations,
    readers_of,
    renew_export_lock,
    resource_of,
    scope_name,
    update_resource,
    views_of,
)

SDK = tuple(map(int, opentelemetry.sdk.version.__version__.split(".")[:2]))
AGGREGATIONS = [
    DefaultAggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    LastValueAggregation,
    SumAggregation,
]


def instruments_of(recorder):
    """One instrument of each kind, as the SDK makes them."""
    return [getattr(recorder.meter, f"create_{kind}")(kind) for kind in SevenInstruments.KINDS]


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_an_aggregation_is_made_by_create_aggregation(aggregation):
    """`KeepAll` overrides it, and hands on its four arguments by position."""
    assert {"_create_aggregation"} == Aggregation.__abstractmethods__, (
        "_create_aggregation is no longer the one abstract method of Aggregation: KeepAll overrides nothing"
    )
    parameters = list(inspect.signature(aggregation._create_aggregation).parameters)
    expected = ["self", "instrument", "attributes", "reservoir_factory", "start_time_unix_nano"]
    assert expected == parameters, (
        f"{aggregation.__name__}._create_aggregation has other parameters: KeepAll hands on these four"
    )


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_the_reservoir_comes_from_the_factory_that_is_handed_on(aggregation):
    """A factory takes the aggregation's class and returns what makes the reservoir."""
    recorder = Recorder()
    [instrument, *_] = instruments_of(recorder)
    reservoir = Intake().reservoir(observed=False)
    made = aggregation()._create_aggregation(instrument, {}, lambda kind: lambda **_: reservoir, 0)
    assert reservoir is made._reservoir, (
        f"{aggregation.__name__} takes its reservoir from elsewhere than reservoir_factory(class)(**options)"
    )


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_an_aggregation_is_fed_by_aggregate(aggregation):
    """`KeepAll` puts its own `aggregate` on the object, and tells the SDK's not to sample."""
    recorder = Recorder()
    [instrument, *_] = instruments_of(recorder)
    made = aggregation()._create_aggregation(
        instrument, {}, lambda kind: lambda **_: Intake().reservoir(observed=False), 0
    )
    parameters = list(inspect.signature(made.aggregate).parameters)
    assert ["measurement", "should_sample_exemplar"] == parameters, (
        f"{type(made).__name__}.aggregate has other parameters than (measurement, should_sample_exemplar)"
    )
    made.aggregate = None
    assert None is made.aggregate, (
        f"{type(made).__name__} does not let its aggregate be replaced on the object"
    )


def test_a_measurement_has_the_four_parts_that_are_offered():
    """value, time_unix_nano, attributes and context."""
    seen = []

    class Looking(StepAggregation):
        def _create_aggregation(self, *args):
            made = super()._create_aggregation(*args)
            made.aggregate = lambda measurement, *_: seen.append(measurement)
            return made

    aggregation = Looking(Intake())
    reader = InMemoryMetricReader(preferred_aggregation=dict.fromkeys(INSTRUMENTS, aggregation))
    Recorder(readers=[reader]).meter.create_gauge("loss").set(0.5, {"step": 1})
    [measurement] = seen
    assert (0.5, {"step": 1}) == (measurement.value, measurement.attributes), (
        "a Measurement holds value and attributes under other names"
    )
    assert isinstance(measurement.time_unix_nano, int), "Measurement.time_unix_nano is no longer an int"
    assert isinstance(measurement.context, Context), "Measurement.context is no longer a Context"


def test_the_synchronous_gauge_is_underscore_gauge():
    """It is the one key of `preferred_aggregation` without a public name."""
    assert hasattr(opentelemetry.sdk.metrics, "_Gauge"), (
        "opentelemetry.sdk.metrics._Gauge is gone: INSTRUMENTS needs the gauge's new name"
    )
    gauge = Recorder().meter.create_gauge("loss")
    assert isinstance(gauge, opentelemetry.sdk.metrics._Gauge), (
        "create_gauge no longer makes an opentelemetry.sdk.metrics._Gauge"
    )


def test_a_reader_gives_our_aggregation_to_all_seven_instruments():
    """By the classes in `INSTRUMENTS`."""
    recorder = Recorder()
    for instrument in instruments_of(recorder):
        chosen = recorder.reader._instrument_class_aggregation.get(type(instrument))
        assert recorder.aggregation is chosen, (
            f"the reader has no preferred aggregation for {type(instrument).__name__}: see INSTRUMENTS"
        )
        temporality = recorder.reader._instrument_class_temporality.get(type(instrument))
        assert AggregationTemporality.DELTA is temporality, (
            f"the reader has no preferred temporality for {type(instrument).__name__}: see INSTRUMENTS"
        )


def test_the_reader_is_found_by_our_aggregation():
    """Among others, and before anything was measured."""
    recorder = Recorder(readers=[InMemoryMetricReader(), InMemoryMetricReader()])
    assert [recorder.reader] == readers_of(recorder.aggregation), (
        "readers_of cannot find the reader: one of MeterProvider._all_metric_readers and "
        "MetricReader._instrument_class_aggregation has changed"
    )


def test_an_aggregation_that_no_reader_has_finds_none():
    """A reader of another exporter is not ours."""
    assert [] == readers_of(StepAggregation(Intake()))


def test_the_views_of_the_provider_are_found():
    """In their order; a view for what no other view matches cannot be said otherwise."""
    given = [*step_views(), View(instrument_name="tokens")]
    recorder = Recorder(views=given)
    for instrument in instruments_of(recorder):
        assert given == list(views_of(instrument)), (
            "views_of cannot find the provider's views: _measurement_consumer._sdk_config.views has changed"
        )
    assert () == views_of(object())


def test_a_view_decides_by_match():
    """`step_views` overrides it, and asks the other views."""
    assert ["self", "instrument"] == list(inspect.signature(View._match).parameters), (
        "View._match(instrument) has other parameters: step_views overrides it, and asks other views by it"
    )
    asked = []

    class Asking(View):
        def _match(self, instrument):
            asked.append(instrument)
            return super()._match(instrument)

    gauge = Recorder(views=[Asking(instrument_name="loss")]).meter.create_gauge("loss")
    gauge.set(1.0)
    assert [gauge] == asked, "the SDK no longer asks View._match which instruments a view is for"


def test_a_view_asks_nothing_of_attribute_keys_but_membership():
    """`_AllBut` is a set that answers only that."""
    asked = []

    class Keys(set):
        def __contains__(self, key):
            asked.append(key)
            return key != "step"

    recorder = Recorder(views=[View(instrument_name="loss", attribute_keys=Keys())])
    recorder.meter.create_gauge("loss").set(1.0, {"step": 1, "rank": 0})
    [(_, point)] = points_of(recorder.reader)
    assert {"rank": 0} == point.attributes, (
        "View.attribute_keys is used otherwise than by `key in attribute_keys`"
    )
    assert {"step", "rank"} == set(asked)


@pytest.mark.parametrize("aggregation", [each for each in AGGREGATIONS if each is not DefaultAggregation])
def test_an_aggregation_may_change_its_class(aggregation):
    """`step_view` makes of each a twin that keeps all and is still an instance of its class."""
    view = step_view(instrument_name="loss", aggregation=aggregation())
    assert isinstance(view._aggregation, aggregation), (
        f"View._aggregation is gone, or a step_view's is no {aggregation.__name__} any more, as the SDK asks"
    )


def test_the_instruments_of_one_provider_have_a_consumer_in_common():
    """By it, two readers of one provider are told from readers of two."""
    one, other = Recorder(), Recorder()
    consumers = {id(consumer_of(instrument)) for instrument in instruments_of(one)}
    assert 1 == len(consumers), "_measurement_consumer is not the same for all instruments of a provider"
    [instrument, *_] = instruments_of(other)
    assert None is not consumer_of(instrument), (
        "an instrument's _measurement_consumer is gone: a second reader of one exporter would count twice"
    )
    assert id(consumer_of(instrument)) not in consumers, "two providers share a _measurement_consumer"
    assert None is consumer_of(object())


def test_the_scope_of_an_instrument_is_known():
    """By it, the lane's gauges are left out."""
    for instrument in instruments_of(Recorder()):
        assert "trainer" == scope_name(instrument), (
            "an instrument's instrumentation_scope.name is gone: the direct lane would be written twice"
        )
    assert "" == scope_name(object())


def test_views_can_be_added_to_a_provider_that_somebody_else_has_made():
    """The auto-configuration has no setting for them."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    tokens = provider.get_meter("trainer").create_counter("tokens")
    assert add_views(provider, step_views()), "MeterProvider._sdk_config.views is no sequence any more"
    tokens.add(1, {"step": 1})
    tokens.add(1, {"step": 2})
    (point,) = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert {} == dict(point.attributes), "MeterProvider._sdk_config.views is not read when one measures"
    assert not add_views(NoOpMeterProvider(), step_views())


def test_the_resource_of_a_meter_provider_can_be_read():
    """A tracer provider has it in public."""
    resource = Resource({"team": "a"})
    provider = MeterProvider(resource=resource, shutdown_on_exit=False)
    assert resource == resource_of(provider), "MeterProvider._sdk_config.resource has gone"
    assert resource == resource_of(TracerProvider(resource=resource, shutdown_on_exit=False))
    assert resource_of(NoOpMeterProvider()) is None


@pytest.mark.skipif(SDK < (1, 44), reason="before 1.44 a resource cannot be changed")
def test_the_resource_of_every_provider_can_be_changed():
    """For a run that comes after them."""
    for kind in (MeterProvider, TracerProvider, LoggerProvider):
        provider = kind(resource=Resource({"team": "a"}), shutdown_on_exit=False)
        assert update_resource(provider, Resource({"run": "b"})), f"{kind.__name__}._update_resource has gone"
        assert {"team": "a", "run": "b"} == dict(resource_of(provider).attributes)
    assert not update_resource(NoOpMeterProvider(), Resource({"run": "b"}))


def test_the_lock_around_the_export_can_be_renewed():
    """A forked child may have inherited it from a thread that it does not have."""
    reader = PeriodicExportingMetricReader(ConsoleMetricExporter(), export_interval_millis=3_600_000)
    before = getattr(reader, "_export_lock", None)
    renew_export_lock(reader)
    assert getattr(reader, "_export_lock", None) is not before, "_export_lock of the reader has gone"
    reader.shutdown()


class Derived(SumAggregation):
    """One that ends in what the SDK knows."""


def test_the_aggregations_of_the_sdk_are_known_and_others_are_not():
    """Of views and of streams, and what is derived from the SDK's, too."""
    assert not is_aggregation_known(View(instrument_name="a", aggregation=ForeignAggregation())), (
        "View._aggregation has another name"
    )
    for kind in (*AGGREGATIONS, Derived):
        assert is_aggregation_known(View(instrument_name="a", aggregation=kind()))
    assert is_aggregation_known(View(instrument_name="a"))


def test_an_unknown_aggregation_is_left_out_of_a_reader():
    """After that, the reader collects all else; before, the SDK raises."""
    recorder = Recorder(views=[View(instrument_name="latency", aggregation=ForeignAggregation())])
    recorder.meter.create_histogram("latency").record(1)
    recorder.meter.create_counter("tokens").add(1)
    with pytest.raises(Exception, match="data"):
        recorder.reader.collect()
    assert ["latency"] == leave_out_unknown_aggregations(recorder.reader), (
        "one of MetricReader._collect, _reader_storages, _instrument_view_instrument_matches, _aggregation "
        "has changed"
    )
    recorder.meter.create_histogram("latency").record(1)
    assert [] == leave_out_unknown_aggregations(recorder.reader)
    data = recorder.reader.get_metrics_data()
    metrics = [each for scope in data.resource_metrics[0].scope_metrics for each in scope.metrics]
    assert ["tokens"] == [metric.name for metric in metrics]


def test_a_reader_of_no_provider_has_nothing_to_leave_out():
    """It does not even collect."""
    assert [] == leave_out_unknown_aggregations(InMemoryMetricReader())
