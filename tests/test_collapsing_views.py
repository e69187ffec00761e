"""A view of the user's own with an aggregation: it replaces the exporter's, which keeps the steps."""

import math

import pytest
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import (
    DropAggregation,
    ExplicitBucketHistogramAggregation,
    LastValueAggregation,
    View,
)

from otel_wandb_bridge import WandbMetricExporter, step_view, step_views, training_step
from otel_wandb_bridge.testing import FakeRun


@pytest.fixture
def measured(caplog):
    """What is said where `latency` and `accuracy` are measured under these views, and collected twice."""
    exporters = []

    def said(*views, stepped=True):
        exporter = WandbMetricExporter(FakeRun())
        exporters.append(exporter)
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)
        meter = MeterProvider([reader], views=[*views, *step_views()], shutdown_on_exit=False).get_meter("t")
        latency, accuracy = meter.create_histogram("latency"), meter.create_gauge("accuracy")
        meter.create_observable_gauge("memory", [lambda _: [Observation(3)]])
        for step in range(6):
            if stepped:
                with training_step(step):
                    latency.record(step)
                    accuracy.set(step)
            else:
                latency.record(step)
            if step % 3 == 2:
                reader.collect()
        assert exporter.stats().is_conserved()
        return [text for text in caplog.messages if text.startswith("view: ")]

    yield said
    for exporter in exporters:
        exporter.shutdown()


def test_a_view_that_collapses_the_steps_is_said_once_with_its_mend(measured):
    """For each instrument, by name."""
    bounds = View(instrument_name="latency", aggregation=ExplicitBucketHistogramAggregation([1, 2]))
    last = View(instrument_name="accuracy", name="acc", aggregation=LastValueAggregation())
    texts = sorted(measured(bounds, last))
    assert 2 == len(texts)
    assert "instrument 'accuracy'" in texts[0]
    assert "instrument 'latency'" in texts[1]
    assert (
        "step_view(instrument_name='latency', aggregation=ExplicitBucketHistogramAggregation(…))" in texts[1]
    )


def test_views_that_keep_the_steps_are_not_spoken_of(measured):
    """`step_view`, a view of attributes alone, one that drops; and what is observed has no steps to lose."""
    assert [] == measured(
        step_view(instrument_name="latency", aggregation=ExplicitBucketHistogramAggregation([1, 2])),
        View(instrument_name="accuracy", attribute_keys={"rank"}),
        View(instrument_name="memory", aggregation=LastValueAggregation()),
        View(instrument_name="other", aggregation=DropAggregation()),
    )


def test_where_nobody_says_a_step_none_is_lost(measured):
    """A run without steps has one row for each interval, whatever the view."""
    bounds = View(instrument_name="latency", aggregation=ExplicitBucketHistogramAggregation([1, 2]))
    assert [] == measured(bounds, stepped=False)
