"""Exactly once across a kill: repeated, reordered, merged and split, before it and after it."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from otlp_sender import NOW, SECOND, gauge_of, request_of, set_value
from test_duplicates import counter_of, histogram_of
from test_receiver_journal import Killed, accept, settle

from otel_wandb_bridge import OtlpReceiver
from otel_wandb_bridge.testing import FakeRun

EXPORTS, STEPS = 5, 2
OPTIONS = {"reorder": 60.0, "expected_sources": 2, "hold": 3_600.0}


def plain_counter(name, total, *, step, time):
    """A cumulative counter as other languages send it: no measurements, the step an attribute."""
    metric = Metric(name=name)
    metric.sum.aggregation_temporality, metric.sum.is_monotonic = 2, True
    point = metric.sum.data_points.add(
        start_time_unix_nano=NOW - SECOND, time_unix_nano=time, as_double=total
    )
    set_value(point.attributes.add(key="step").value, step)
    return metric


def pieces_of(number, instance):
    """One export of a process, a request for each of its metrics."""
    steps = range(number * STEPS, (number + 1) * STEPS)
    time = NOW + number * SECOND
    metrics = [
        gauge_of("loss", {step: step / 4 for step in steps}, time=time),
        counter_of("tokens", dict.fromkeys(steps, 8.0), time=time),
        histogram_of("latency", dict.fromkeys(steps, 0.5), time=time),
        *[plain_counter("items", 5.0, step=step, time=time) for step in steps],
    ]
    return [request_of(metric, instance=instance) for metric in metrics]


@st.composite
def deliveries(draw, pieces, repeated=()):
    """The pieces, with some that had come before, in any order and any grouping."""
    again = draw(st.lists(st.sampled_from([*pieces, *repeated]), max_size=4)) if pieces or repeated else []
    order = draw(st.permutations([*pieces, *again]))
    groups = itertools.zip_longest(*[iter(order)] * draw(st.integers(1, 5)))
    return [merged(filter(None, group)) for group in groups]


def merged(pieces):
    """One request of many."""
    whole = ExportMetricsServiceRequest()
    for each in pieces:
        whole.MergeFrom(each)
    return whole


def run_that_has(rows):
    """The run as W&B resumes it where it has these rows."""
    run = FakeRun(starting_step=rows[-1]["_step"] + 1 if rows else 0)
    for row in rows:
        run.summary.update(row)
    return run


def plain(rows):
    """By step, the last word of each key."""
    by_step = {}
    for row in rows:
        values = {key: str(value) for key, value in row.items() if key not in ("_step", "_timestamp")}
        by_step.setdefault(row["global_step"], {}).update(values)
    return by_step


def expected():
    """The rows where all comes once, in order."""
    run = FakeRun()
    with OtlpReceiver(run, port=0, **OPTIONS) as receiver:
        accept(receiver, *[merged(pieces_of(number, each)) for number in range(EXPORTS) for each in "ab"])
    return plain(run.rows)


EXPECTED = expected()


@pytest.mark.long
@settings(max_examples=30, deadline=None)
@given(st.data())
def test_the_rows_are_the_same_whatever_came_again_and_whenever_it_was_killed(tmp_path_factory, data):
    """Gauges, counters (delta and cumulative) and histograms of two processes."""
    path = tmp_path_factory.mktemp("killed") / "journal"
    exports = [[*pieces_of(number, "a"), *pieces_of(number, "b")] for number in range(EXPORTS)]
    cuts = sorted(data.draw(st.lists(st.integers(0, EXPORTS), min_size=1, max_size=2)))
    run, rows, seen, done = FakeRun(), [], [], 0
    for cut in cuts:
        new = list(itertools.chain.from_iterable(exports[done:cut]))
        with Killed(path, run, **OPTIONS) as receiver:
            accept(receiver, *data.draw(deliveries(new, seen)))
            if data.draw(st.booleans()):
                settle(receiver)
        seen, done = seen + new, cut
        rows += run.rows[: data.draw(st.integers(0, len(run.rows)))]
        run = run_that_has(rows)
    with OtlpReceiver(run, port=0, journal=path, **OPTIONS) as receiver:
        new = list(itertools.chain.from_iterable(exports[done:]))
        accept(receiver, *data.draw(deliveries(new, seen)))
    rows += run.rows
    steps = [row["global_step"] for row in rows]
    assert list(range(EXPORTS * STEPS)) == steps
    assert EXPECTED == plain(rows)
    assert receiver.stats().is_conserved()
