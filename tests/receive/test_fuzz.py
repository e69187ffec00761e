"""Whatever comes is answered in 2xx or 4xx, and raises nothing."""

import gzip
import json
import random

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from otlp_sender import JSON, NOW, PROTOBUF, gauge_of, request_of

from otel_wandb_bridge import OtlpReceiver
from otel_wandb_bridge.receive.body import Body, Refused, parse
from otel_wandb_bridge.testing import FakeRun

SLOW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
GOOD = request_of(gauge_of("loss", {step: step / 3 for step in range(20)}, rank=3)).SerializeToString()
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["resourceMetrics", "scopeMetrics", "metrics", "gauge", "dataPoints", "exemplars", "x"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=20,
)


@pytest.fixture(scope="module")
def receiver():
    """One for all: it is still good after everything that came."""
    with OtlpReceiver(FakeRun(), port=0, reorder=0.0) as receiver:
        yield receiver
        receiver.force_flush()
        assert receiver.stats().is_conserved()
        assert receiver._inlet._intake._thread.is_alive()


def answer(receiver, body, media_type=PROTOBUF, encoding=""):
    """The status that a body is answered with; the body is taken in where that is a success."""
    try:
        taken = Body(encoding, 10_000_000)
        taken.take(body)
        request = parse(taken.whole(), media_type)
        receiver._accept(request, request.SerializeToString())
    except Refused as refused:
        return refused.status
    return 200


@SLOW
@given(st.binary(max_size=300), st.sampled_from([PROTOBUF, JSON]), st.sampled_from(["", "gzip"]))
def test_random_bytes(receiver, body, media_type, encoding):
    """In both forms, compressed or not."""
    assert answer(receiver, body, media_type, encoding) in (200, 400)


@SLOW
@given(st.integers(0, 2**32), st.integers(1, 30))
def test_a_good_request_with_bytes_changed(receiver, seed, changes):
    """It is another request, or none."""
    chance = random.Random(seed)
    body = bytearray(GOOD)
    for _ in range(changes):
        body[chance.randrange(len(body))] = chance.randrange(256)
    assert answer(receiver, bytes(body)) in (200, 400)


@SLOW
@given(DOCUMENTS)
def test_documents_that_look_like_a_request(receiver, document):
    """With everything in the wrong place."""
    body = json.dumps(document).encode()
    assert answer(receiver, body, JSON) in (200, 400)


@pytest.mark.parametrize("depth", [10, 100, 1_000, 100_000])
@pytest.mark.parametrize("form", ["[", '{"a":', '{"resourceMetrics":['])
def test_deep_documents(receiver, depth, form):
    """The stack is not what gives in."""
    assert 400 == answer(receiver, form.encode() * depth, JSON)
    assert answer(receiver, b'{"resourceMetrics":' + b"[" * depth + b"]" * depth + b"}", JSON) in (200, 400)


def test_deep_attributes(receiver):
    """Attributes within attributes, as deep as protobuf lets them."""
    request = request_of(gauge_of("deep", {0: 1.0}))
    value = request.resource_metrics[0].resource.attributes.add(key="deep").value
    for _ in range(40):
        value = value.array_value.values.add()
    assert answer(receiver, request.SerializeToString()) in (200, 400)


@pytest.mark.parametrize("count", [0, 1, 2**63 - 1, 2**64 - 1])
def test_huge_counts(receiver, count):
    """Numbers that say more than there is cost no memory."""
    histogram = Metric(name="latency")
    histogram.histogram.aggregation_temporality = 2
    histogram.histogram.data_points.add(
        time_unix_nano=count, count=count, sum=1.0, bucket_counts=[count, count], explicit_bounds=[1.0]
    )
    exponential = Metric(name="size")
    exponential.exponential_histogram.aggregation_temporality = 1
    point = exponential.exponential_histogram.data_points.add(
        time_unix_nano=NOW, count=count, scale=2**31 - 1, zero_count=count
    )
    point.positive.offset = -(2**31)
    point.positive.bucket_counts.extend([count] * 3)
    point.negative.offset = 2**31 - 1
    point.negative.bucket_counts.append(count)
    assert 200 == answer(receiver, request_of(histogram, exponential).SerializeToString())
    receiver.force_flush()


def test_values_of_every_kind_at_the_edges(receiver):
    """Steps, times and values that no sender means."""
    metric = gauge_of("edge", {0: float("nan"), 2**63 - 1: float("inf"), 2: -0.0})
    metric.gauge.data_points[0].exemplars.add()
    odd = metric.gauge.data_points[0].exemplars.add(time_unix_nano=2**64 - 1, as_int=-(2**63))
    odd.filtered_attributes.add(key="wandb.step").value.int_value = -1
    odd.filtered_attributes.add(key="wandb.step").value.string_value = "twice"
    metric.gauge.data_points[0].exemplars.add().filtered_attributes.add(key="wandb.step")
    metric.gauge.data_points.add(flags=1)
    metric.gauge.data_points.add()
    document = MessageToDict(request_of(metric, instance=""))
    assert 200 == answer(receiver, request_of(metric).SerializeToString())
    assert 200 == answer(receiver, json.dumps(document).encode(), JSON)
    receiver.force_flush()
    assert receiver.stats().is_conserved()


def test_each_cut_of_a_compressed_request(receiver):
    """An answer in 4xx."""
    packed = gzip.compress(GOOD)
    statuses = {answer(receiver, packed[:cut], PROTOBUF, "gzip") for cut in range(1, len(packed))}
    assert {400} == statuses
    assert 200 == answer(receiver, packed, PROTOBUF, "gzip")
    assert ExportMetricsServiceRequest.FromString(GOOD)
