"""The buckets of a histogram data point, against a model of the specification's mapping."""

import math
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otel_wandb_bridge.decode.histogram import Exponential, summed

VALUES = st.one_of(
    st.just(0.0), st.floats(1e-9, 1e12), st.floats(-1e12, -1e-9), st.sampled_from([1.0, 2.0, 4.0, -8.0])
)


FINEST = 3


def index_of(value, scale):
    """Bucket *i* holds what is greater than base^i, up to base^(i+1); 2i and 2i+1 are the coarser i."""
    exponent = math.log2(value) * 2.0**FINEST
    whole = round(exponent)
    is_bound = math.isclose(exponent, whole, rel_tol=0, abs_tol=1e-9)
    return (whole - 1 if is_bound else math.ceil(exponent) - 1) >> (FINEST - scale)


def point_of(values, scale):
    """An exponential data point, as any SDK makes it."""
    sides = {}
    for sign in (1, -1):
        indices = [index_of(sign * value, scale) for value in values if sign * value > 0]
        low = min(indices, default=0)
        counts = [indices.count(low + place) for place in range(max(indices, default=low - 1) - low + 1)]
        sides[sign] = SimpleNamespace(offset=low, bucket_counts=counts)
    return SimpleNamespace(
        count=len(values),
        sum=math.fsum(values),
        min=min(values, default=None),
        max=max(values, default=None),
        scale=scale,
        zero_count=values.count(0),
        positive=sides[1],
        negative=sides[-1],
    )


def lie_in(values, intervals):
    """Whether each value has its place in an interval, and no interval is left over."""
    left = sorted(values)
    for low, high, count in intervals:
        slack = 1e-6 * max(abs(low), abs(high))
        for _ in range(count):
            value = left.pop(0)
            assert low - slack <= value <= high + slack, (value, low, high)
    return not left


@given(st.lists(VALUES, max_size=12), st.integers(-4, FINEST))
def test_every_value_lies_in_its_interval(values, scale):
    """Positive, negative and zero; by ascending bounds, within the least and the greatest."""
    buckets = summed(point_of(values, scale)).buckets()
    bounds = [bound for low, high, _ in buckets.intervals for bound in (low, high)]
    assert lie_in(values, buckets.intervals)
    assert bounds == sorted(bounds)
    if values:
        assert min(values) <= bounds[0]
        assert bounds[-1] <= max(values)


@given(
    st.lists(VALUES, max_size=8),
    st.lists(VALUES, min_size=1, max_size=8),
    st.integers(-4, FINEST),
    st.integers(0, 4),
)
@example([1.000000001], [0.0], 0, 1)
def test_what_was_added_is_the_difference_whatever_became_of_the_scale(before, added, scale, coarser):
    """An SDK lowers its scale when the range grows: buckets 2i and 2i+1 become i."""
    then = summed(point_of(before, scale))
    now = summed(point_of([*before, *added], scale - coarser))
    difference = now.since(then)
    assert len(added) == difference.count
    assert difference.sum == pytest.approx(math.fsum(added), abs=1e-3)
    assert lie_in(added, difference.buckets().intervals)


def test_a_finer_scale_than_before_is_read_at_the_coarser():
    """It is no way to go on, but the counts tell that it does."""
    difference = summed(point_of([1.5, 3.0, 3.1], 2)).since(summed(point_of([1.5], 0)))
    assert (2, 0) == (difference.count, difference.shape.scale)


def test_a_zero_threshold_that_rose_has_taken_buckets_in():
    """What lay below it is among the zeros of now."""
    then = Exponential(0, 1, 0.0, {-3: 2, 4: 1}, {-5: 1})
    now = Exponential(0, 6, 0.5, {4: 1}, {})
    assert (2, {}, {}) == (lambda added: (added.zeros, added.positive, added.negative))(now.since(then))
    assert [(-0.5, 0.5, 6), (16.0, 32.0, 1)] == list(now.intervals())


def test_fewer_than_before_is_no_going_on():
    """In any bucket, or among the zeros."""
    then = Exponential(0, 1, 0.0, {1: 2}, {})
    for now in (Exponential(0, 0, 0.0, {1: 2}, {}), Exponential(0, 1, 0.0, {1: 1, 2: 9}, {})):
        assert None is now.since(then)


def test_bounds_past_all_floats_are_the_greatest_float():
    """Indices are 32-bit numbers in OTLP, and a hostile sender may choose them."""
    [(low, high, count)] = Exponential(-10, 0, 0.0, {2**31 - 1: 1}, {}).intervals()
    assert (1, True, True) == (count, math.isfinite(low), math.isfinite(high))
    assert [(0.0, 0.0, 1)] == list(Exponential(-10, 0, 0.0, {-(2**31): 1}, {}).intervals())
