"""Exemplars read off the wire are those that the messages hold."""

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1 import metrics_pb2

from otel_wandb_bridge.decode.otlp_wire import TAGS, after, columns, start_of

POINTS = {
    "gauge": metrics_pb2.NumberDataPoint,
    "histogram": metrics_pb2.HistogramDataPoint,
    "exponential_histogram": metrics_pb2.ExponentialHistogramDataPoint,
}

STEPS = st.one_of(st.integers(0, 300), st.integers(0, 2**63 - 1), st.integers(-(2**63), -1))
VALUES = st.one_of(st.floats(width=64), st.integers(-(2**63), 2**63 - 1))
EXEMPLARS = st.tuples(
    STEPS, VALUES, st.integers(0, 2**64 - 1), st.sampled_from(["plain"] * 6 + ["span", "more", "bool"])
)


def filled(kind, exemplars):
    """A data point with these exemplars, and something before and after them."""
    point = POINTS[kind](time_unix_nano=7, start_time_unix_nano=3)
    point.attributes.add(key="wandb.step").value.int_value = 5
    for step, value, time, manner in exemplars:
        exemplar = point.exemplars.add(time_unix_nano=time)
        if isinstance(value, int):
            exemplar.as_int = value
        else:
            exemplar.as_double = value
        if manner == "span":
            exemplar.span_id = b"12345678"
        if manner == "more":
            exemplar.filtered_attributes.add(key="source").value.string_value = "*" * 9
        attribute = exemplar.filtered_attributes.add(key="wandb.step")
        if manner == "bool":
            attribute.value.bool_value = True
        else:
            attribute.value.int_value = step
    return point


@given(st.sampled_from(sorted(POINTS)), st.lists(EXEMPLARS, max_size=30))
def test_what_is_read_is_what_the_messages_hold(kind, exemplars):
    """Whatever lies between plain ones, and however long the numbers are."""
    data = filled(kind, exemplars).SerializeToString()
    tag = TAGS[kind]
    at = start_of(data, tag)
    assert (at is None) == (not exemplars)
    read, index = [], 0
    while index < len(exemplars):
        runs, at = columns(data, tag, at)
        for run in runs:
            rows = list(zip(run.steps, run.values, run.times, strict=True))
            read += zip(range(index, index + len(rows)), rows, strict=True)
            index += len(rows)
        if not runs:
            at = after(data, at)
            index += 1
    expected = [
        (place, (step, value, time))
        for place, (step, value, time, manner) in enumerate(exemplars)
        if manner == "plain" and step >= 0 and time  # a time of 0 is not on the wire
    ]
    assert repr(expected) == repr(read)


@given(st.binary(max_size=200), st.sampled_from(sorted(set(TAGS.values()))))
def test_where_the_exemplars_begin_is_never_found_beyond_the_end(data, tag):
    """Of bytes that protobuf can read, which is all that is ever asked."""
    try:
        data = metrics_pb2.NumberDataPoint.FromString(data).SerializeToString()
    except Exception:
        return
    at = start_of(data, tag)
    assert at is None or data[at] == tag
