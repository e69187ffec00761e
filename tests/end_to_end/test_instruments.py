"""The table of docs/instruments.md, row by row, in real runs: both temporalities, with and without views."""

import statistics

import pytest

COMBINATIONS = [
    f"{temporality}-{views}" for temporality in ("delta", "cumulative") for views in ("views", "none")
]
STEPS = range(3)

SCRIPT = """
from opentelemetry.sdk.metrics.export import AggregationTemporality
from opentelemetry.sdk.metrics.view import (
    ExplicitBucketHistogramAggregation, ExponentialBucketHistogramAggregation, View
)
from otel_wandb_bridge import step_view, step_views
from otel_wandb_bridge.record import INSTRUMENTS

EXPONENTIAL = ExponentialBucketHistogramAggregation()
EXPLICIT = ExplicitBucketHistogramAggregation([0, 1, 5])


def record(name, temporality, views):
    run = wandb.init(mode="offline", id=name)
    exporter = WandbMetricExporter(run)
    exporter._preferred_temporality = dict.fromkeys(INSTRUMENTS, AggregationTemporality[temporality])
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=NEVER)
    own = [
        step_view(instrument_name="exponential", aggregation=EXPONENTIAL),
        View(instrument_name="plain.exponential", aggregation=EXPONENTIAL),
        View(instrument_name="plain.explicit", aggregation=EXPLICIT),
    ]
    provider = MeterProvider([reader], views=[*views, *own], shutdown_on_exit=False)
    meter = provider.get_meter("trainer")
    now = {"value": 0}
    observe = [lambda _: [Observation(now["value"])]]
    meter.create_observable_gauge("observable.gauge", observe)
    meter.create_observable_counter("observable.counter", observe)
    meter.create_observable_up_down_counter("observable.up_down_counter", observe)
    gauge = meter.create_gauge("gauge")
    counter = meter.create_counter("counter")
    up_down = meter.create_up_down_counter("up_down_counter")
    histograms = [
        meter.create_histogram(each)
        for each in ("histogram", "exponential", "plain.exponential", "plain.explicit")
    ]
    for step in range(3):
        set_step(step)
        for part in range(2):  # two flushes within a step
            gauge.set(10 * step + part)
            counter.add(step + 1)
            up_down.add(2 - step)
            for histogram in histograms[:2]:
                for value in (0, 0.5, step + part):
                    histogram.record(value)
            for histogram in histograms[2:]:
                for value in (0, 0.5, step + part):
                    histogram.record(value, {"step": step})
            now["value"] = 100 * step + part
            reader.collect()
    run.finish()
    report(**{name: exporter.stats().is_conserved()})


for temporality in ("delta", "cumulative"):
    for views in ("views", "none"):
        record(f"{temporality}-{views}", temporality.upper(), step_views() if views == "views" else [])
"""


@pytest.fixture(scope="module")
def runs(run_script_once):
    outcome = run_script_once(SCRIPT).ended_well()
    assert [True] * len(COMBINATIONS) == [value for report in outcome.reports for value in report.values()]
    return outcome.runs


EXPECTED = {
    "gauge": [1, 11, 21],
    "counter": [2, 6, 12],
    "up_down_counter": [4, 6, 6],
    "observable/gauge": [1, 101, 201],
    "observable/counter": [1, 101, 201],
    "observable/up_down_counter": [1, 101, 201],
}


@pytest.mark.parametrize("key", EXPECTED)
@pytest.mark.parametrize("combination", COMBINATIONS)
def test_a_number_of_each_step(runs, combination, key):
    """The winning value, the running total, or what was read last at that step."""
    assert dict(zip(STEPS, EXPECTED[key], strict=True)) == runs[combination].series(key)


@pytest.mark.parametrize("key", ["histogram", "exponential", "plain/exponential", "plain/explicit"])
@pytest.mark.parametrize("combination", COMBINATIONS)
def test_a_histogram_of_each_step(runs, combination, key):
    """From the measurements, zeros too; where these are not known, from the data points."""
    run = runs[combination]
    for step in STEPS:
        values = [value for part in range(2) for value in (0, 0.5, step + part)]
        told = {name: run.series(f"{key}/{name}")[step] for name in ("count", "mean", "p99")}
        assert (6, pytest.approx(sum(values) / 6)) == (told["count"], told["mean"])
        made = run.series(key)[step]
        assert (6, 0) == (sum(made["values"]), made["bins"][0])
        assert (len(made["values"]) + 1, True) == (len(made["bins"]), len(made["values"]) <= 512)
        if not key.startswith("plain"):
            extremes = [run.series(f"{key}/{name}")[step] for name in ("min", "p50", "max")]
            assert [0, 0.25 if step == 0 else 0.5, step + 1] == extremes
            percentiles = statistics.quantiles(values, n=100, method="inclusive")
            for name, expected in (("p95", percentiles[94]), ("p99", percentiles[98])):
                assert expected == pytest.approx(run.series(f"{key}/{name}")[step])
            assert len(made["values"]) == 64


def test_unit_description_and_scope_are_in_the_config_of_each_run(run_script):
    """Once for an instrument, in the second run too, beside what the user says there; not our own."""
    outcome = run_script(
        """
        bridge = configure(export_interval_millis=NEVER)
        latency = metrics.get_meter("server").create_histogram("latency.queue", "ms", "Time in the queue")
        before = {"otel": {"metrics": {"old": {"unit": "s"}}, "mine": {"a": 1}}}
        for name, config in (("first", before), ("second", {})):
            run = wandb.init(mode="offline", id=name, config={"lr": 0.1, **config})
            for step in range(3):
                latency.record(step, {"step": step, "rank": 0})
                bridge.force_flush()
            run.finish()
        """
    ).ended_well()
    described = {"latency/queue": {"unit": "ms", "description": "Time in the queue", "scope": "server"}}
    first, second = (outcome.runs[name].config for name in ("first", "second"))
    assert {"old": {"unit": "s"}, **described} == first["otel"]["metrics"]
    assert {"a": 1} == first["otel"]["mine"]
    assert described == second["otel"]["metrics"]
    assert 0.1 == first["lr"] == second["lr"]
