"""`trace_ids`: a point on a chart leads to its trace."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from otel_wandb_bridge import configure, step_aggregation, training_step
from otel_wandb_bridge.testing import FakeRun


@pytest.fixture
def run():
    return FakeRun()


@pytest.fixture
def bridge(run):
    with configure(run, set_global=False, export_interval_millis=3_600_000, trace_ids=True) as bridge:
        yield bridge


@pytest.fixture
def loss(bridge):
    return bridge.meter_provider.get_meter("trainer").create_gauge("loss")


@pytest.fixture
def tracer():
    return TracerProvider(shutdown_on_exit=False).get_tracer("trainer")


def id_of(span):
    return f"{span.get_span_context().trace_id:032x}"


def trace_ids(run):
    return {row["global_step"]: row["trace_id"] for row in run.rows if "trace_id" in row}


def test_the_row_of_a_step_has_the_id_of_its_trace(run, bridge, loss, tracer):
    """As trace viewers write it: 32 hexadecimal digits."""
    expected = {}
    for step in range(3):
        with training_step(step), tracer.start_as_current_span("step") as span:
            loss.set(0.5)
            expected[step] = id_of(span)
    assert bridge.force_flush()
    assert expected == trace_ids(run)
    assert 3 == len(run.rows)
    assert bridge.stats().is_conserved()


def test_a_step_measured_outside_a_span_has_none(run, bridge, loss):
    """Or inside one that nobody keeps."""
    unsampled = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False).get_tracer("trainer")
    loss.set(0.5, {"step": 0})
    with unsampled.start_as_current_span("step"):
        loss.set(0.5, {"step": 1})
    assert bridge.force_flush()
    assert [0, 1] == [row["global_step"] for row in run.rows]
    assert {} == trace_ids(run)


def test_many_measurements_of_one_trace_are_one_sample(run, bridge, loss, tracer):
    """In several flushes, too: nothing is overridden by its equal."""
    with training_step(4), tracer.start_as_current_span("step") as span:
        for _ in range(3):
            bridge.meter_provider.get_meter("trainer").create_counter("tokens").add(1)
            bridge._exporter.collect()
        loss.set(0.5)
    assert bridge.force_flush()
    assert {4: id_of(span)} == trace_ids(run)
    assert 0 == bridge.stats().overridden
    assert 5 == bridge.stats().recorded


def test_of_several_traces_in_one_step_the_last_stands(run, bridge, loss, tracer):
    """As of any two values of one key."""
    with training_step(4):
        with tracer.start_as_current_span("one"):
            loss.set(0.5)
        bridge._exporter.collect()
        with tracer.start_as_current_span("other") as span:
            loss.set(0.4)
    assert bridge.force_flush()
    assert {4: id_of(span)} == trace_ids(run)
    assert bridge.stats().is_conserved()


def test_it_holds_no_row_back(run, bridge, loss, tracer):
    """The source of the id is the one that measured."""
    for step in range(3):
        with training_step(step), tracer.start_as_current_span("step"):
            loss.set(0.5)
    bridge._exporter.collect()
    assert [0, 1] == [row["global_step"] for row in run.rows]


def test_nobody_gets_it_unasked(run, tracer):
    """It is an option."""
    with configure(run, set_global=False) as bridge:
        loss = bridge.meter_provider.get_meter("trainer").create_gauge("loss")
        with training_step(0), tracer.start_as_current_span("step"):
            loss.set(0.5)
        assert bridge.force_flush()
    assert {} == trace_ids(run)


def test_exemplars_point_to_sampled_traces_alone():
    """The id of one that nobody keeps leads nowhere."""
    from opentelemetry.sdk.metrics import MeterProvider

    reader = InMemoryMetricReader(preferred_aggregation=step_aggregation())
    loss = MeterProvider([reader], shutdown_on_exit=False).get_meter("trainer").create_gauge("loss")
    unsampled = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False).get_tracer("trainer")
    with unsampled.start_as_current_span("step"):
        assert trace.get_current_span().get_span_context().is_valid
        loss.set(0.5)
    (point,) = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert [None] == [exemplar.trace_id for exemplar in point.exemplars]
