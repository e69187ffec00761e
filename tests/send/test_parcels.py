"""Collections are cut into parcels that everybody takes, and nothing is lost or doubled by it."""

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import Exemplar, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation

from otel_wandb_bridge import step_aggregation, step_view, step_views
from otel_wandb_bridge.record import INSTRUMENTS
from otel_wandb_bridge.send.parcels import parcels_of, points_of, samples_in


def collected(record, *views):
    """What a reader collects of what `record` measures with a meter."""
    reader = InMemoryMetricReader(
        preferred_aggregation=step_aggregation(),
        preferred_temporality=dict.fromkeys(INSTRUMENTS, AggregationTemporality.DELTA),
    )
    provider = MeterProvider([reader], views=[*step_views(), *views], shutdown_on_exit=False)
    record(provider.get_meter("trainer"))
    return reader.get_metrics_data()


def values_in(data):
    """(name, step, value) of every measurement."""
    return [
        (metric.name, exemplar.filtered_attributes["wandb.step"], exemplar.value)
        for resource_metrics in data.resource_metrics
        for scope_metrics in resource_metrics.scope_metrics
        for metric in scope_metrics.metrics
        for point in metric.data.data_points
        for exemplar in point.exemplars
    ]


def five_thousand_of_each(meter):
    gauge, counter = meter.create_gauge("loss"), meter.create_counter("tokens")
    histogram, exponential = meter.create_histogram("latency"), meter.create_histogram("exponential")
    for step in range(5_000):
        gauge.set(step / 2, {"step": step})
        counter.add(3, {"step": step})
        histogram.record(step / 7, {"step": step})
        exponential.record(step / 7, {"step": step})


EXPONENTIAL = step_view(instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation())


def test_a_small_collection_goes_in_one_parcel():
    """As it is."""
    data = collected(lambda meter: meter.create_gauge("loss").set(1.0, {"step": 3}))
    (parcel,) = parcels_of(data)
    assert 1 == parcel.samples
    assert values_in(data) == values_in(parcel.data)


def test_no_data_point_and_no_request_is_larger_than_its_limit():
    """In bytes as they are on the wire, and every measurement is in exactly one of them."""
    data = collected(five_thousand_of_each, EXPONENTIAL)
    parcels = list(parcels_of(data, point_bytes=40_000, parcel_bytes=150_000))
    assert len(parcels) > 5
    for parcel in parcels:
        assert encode_metrics(parcel.data).ByteSize() <= 150_000
        for resource_metrics in encode_metrics(parcel.data).resource_metrics:
            for scope_metrics in resource_metrics.scope_metrics:
                for metric in scope_metrics.metrics:
                    for point in getattr(metric, metric.WhichOneof("data")).data_points:
                        assert point.ByteSize() <= 40_000
    assert sorted(values_in(data)) == sorted(value for parcel in parcels for value in values_in(parcel.data))
    assert 20_000 == sum(parcel.samples for parcel in parcels)


def test_the_default_limit_of_a_data_point_is_below_one_mebibyte():
    """With attributes of any script and length."""
    exemplars = [
        Exemplar({"wandb.step": step, "source": "\u00e4\U0001f600" * 30, "further": 2**60}, 0.5, step)
        for step in range(10_000)
    ]
    data = collected(lambda meter: meter.create_gauge("loss").set(1.0))
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    (point,) = metric.data.data_points
    object.__setattr__(point, "exemplars", exemplars)
    for parcel in parcels_of(data):
        message = encode_metrics(parcel.data)
        points = message.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points
        assert all(point.ByteSize() < 2**20 for point in points)
        assert message.ByteSize() < 4 * 2**20


def parts_by_name(data, **limits):
    """Name to the data points that a metric became, in the order of the parcels."""
    parts = {}
    for parcel in parcels_of(data, **limits):
        for scope_metrics in parcel.data.resource_metrics[0].scope_metrics:
            for metric in scope_metrics.metrics:
                parts.setdefault(metric.name, []).extend(metric.data.data_points)
    return parts


def test_the_aggregate_of_a_data_point_is_in_its_last_part_alone():
    """Whoever adds up delta points of a sum or a histogram gets the same; a gauge shows its way."""
    data = collected(five_thousand_of_each, EXPONENTIAL)
    (whole,) = parts_by_name(data)["latency"]
    cut = parts_by_name(data, point_bytes=40_000)
    assert {"loss", "tokens", "latency", "exponential"} == set(cut)
    for name, parts in cut.items():
        assert len(parts) > 3
        if name == "loss":
            assert [part.exemplars[-1].value for part in parts] == [part.value for part in parts]
        elif name == "tokens":
            assert [0] * (len(parts) - 1) + [15_000] == [part.value for part in parts]
        else:
            assert [0] * (len(parts) - 1) + [5_000] == [part.count for part in parts]
            assert whole.sum == sum(part.sum for part in parts)
            assert (whole.min, whole.max) == (parts[-1].min, parts[-1].max)


def test_no_two_parts_have_the_same_time():
    """A receiver that knows repeated exports by their time takes none for the other."""
    for parts in parts_by_name(collected(five_thousand_of_each), point_bytes=40_000).values():
        times = [part.time_unix_nano for part in parts]
        assert sorted(set(times)) == times
        if parts[0].start_time_unix_nano:
            assert times[:-1] == [part.start_time_unix_nano for part in parts[1:]]


def test_each_parcel_is_complete_up_to_its_moment():
    """A row is not closed by one series before the others have arrived."""
    parcels = list(parcels_of(collected(five_thousand_of_each), point_bytes=40_000, parcel_bytes=100_000))
    seen = -1
    for parcel in parcels:
        steps = {}
        for name, step, _ in values_in(parcel.data):
            steps.setdefault(name, []).append(step)
        assert seen <= min(min(of_one) for of_one in steps.values())
        seen = max(max(of_one) for of_one in steps.values())
    assert 4_999 == seen


def test_what_was_measured_at_one_moment_of_a_coarse_clock_is_cut_all_the_same():
    """No limit is exceeded, whatever the clock's resolution."""
    exemplars = [Exemplar({"wandb.step": step}, 0.5, 7) for step in range(1_000)]
    data = collected(lambda meter: meter.create_gauge("loss").set(1.0))
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    object.__setattr__(metric.data.data_points[0], "exemplars", exemplars)
    (parts,) = parts_by_name(data, point_bytes=10_000).values()
    assert len(parts) > 3
    assert 1_000 == sum(len(part.exemplars) for part in parts)
    times = [part.time_unix_nano for part in parts]
    assert sorted(set(times)) == times


@pytest.mark.parametrize("settled", [True])
def test_what_a_reservoir_says_of_itself_is_no_sample(settled):
    """An empty interval, and what was shed."""
    assert 1 == samples_in(
        [
            Exemplar({"wandb.step": settled}, 0, 0),
            Exemplar({"wandb.step": 0}, 0, 0),
            Exemplar({"step": 3}, 0, 0),
        ]
    )
    assert 0 == samples_in(None)


def test_all_points_are_seen():
    """Of every scope and metric."""
    assert 4 == len(list(points_of(collected(five_thousand_of_each))))
