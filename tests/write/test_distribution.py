"""What a histogram instrument recorded at one step, in a row: from measurements, from buckets, from both."""

import math
import sys
from itertools import accumulate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otel_wandb_bridge.patterns import ByKey
from otel_wandb_bridge.records import Buckets, Distribution
from otel_wandb_bridge.write.distribution import BINS, expand, histogram
from otel_wandb_bridge.write.mixture import Mixture
from otel_wandb_bridge.write.statistics import STATISTICS, checked

LATENCIES = Buckets(((0.0, 10.0, 10), (10.0, 20.0, 80), (20.0, 100.0, 10)), 100, 1500.0, 1.0, 90.0)


def told(*values, statistics=STATISTICS):
    """What a row has of a distribution; the histogram as (counts, edges)."""
    expanded, refused = expand({"latency": Distribution(values)}, ByKey(statistics))
    assert {} == refused
    made = {key.removeprefix("latency").removeprefix("/"): value for key, value in expanded.items()}
    if "" in made:
        made[""] = (made[""].histogram, made[""].bins)
    return made


def test_of_buckets_percentiles_are_estimates_and_all_else_is_what_the_data_point_says():
    """Evenly spread within a bucket, as OpenTelemetry's and Prometheus's own quantiles."""
    assert {
        "": ([10, 80, 10], [0.0, 10.0, 20.0, 100.0]),
        "count": 100,
        "mean": 15.0,
        "min": 1.0,
        "max": 90.0,
        "p50": 15.0,
        "p95": 60.0,
        "p99": 92.0,
    } == told(LATENCIES)


def test_two_histograms_of_one_step_add_up():
    """Two collections within it, or two processes; where their buckets overlap, the counts add up."""
    other = Buckets(((5.0, 15.0, 10), (30.0, 30.0, 4)), 14, 220.0, 5.0, 30.0)
    made = told(LATENCIES, other)
    edges = [0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 100.0]
    assert edges == made[""][1]
    assert [5, 10, 45, 40, 5, 9] == made[""][0]
    assert (114, 1720 / 114, 1.0, 90.0) == (made["count"], made["mean"], made["min"], made["max"])


def test_measurements_and_buckets_of_one_step_add_up():
    """A rank with our reservoir and one of another language."""
    made = told(LATENCIES, 500.0, 0.5, math.inf)
    assert 102 == sum(made[""][0])
    assert (0.0, 500.0) == (made[""][1][0], made[""][1][-1])
    assert (103, 2000.5 / 102, 0.5, 500.0) == (made["count"], made["mean"], made["min"], made["max"])
    assert 15.0 == made["p50"]


@pytest.mark.parametrize(
    ("buckets", "missing"),
    [
        (Buckets(((0.0, 1.0, 5),), 5, None, 0.0, 1.0), {"mean", "sum"}),
        (Buckets(((0.0, 1.0, 5),), 5, 2.0, None, None), {"min", "max"}),
        (Buckets((), 5, 2.0, 0.0, 1.0), {"", "p50"}),
        (Buckets((), 0), {"", "mean", "min", "max", "p50"}),
        (Buckets(((0.0, 1.0, 5),), 5, 2.0, 0.0, 1.0), {"std"}),
    ],
    ids=["no sum", "no extremes", "no places", "nothing", "no values"],
)
def test_what_is_not_known_is_left_out(buckets, missing):
    """Rather than guessed."""
    wanted = ("histogram", "count", "sum", "mean", "min", "max", "p50", "std")
    made = told(buckets, statistics=wanted)
    assert {"", *wanted} - {"histogram", "std"} - missing == made.keys()
    assert buckets.count == made["count"]


def test_what_is_not_known_of_a_part_is_not_known_of_the_whole():
    """Of no values there is nothing to be known."""
    wanted = ("count", "sum", "mean", "min", "max", "std")
    unknown = Buckets(((0.0, 1.0, 5),), 5, None, None, None)
    assert {"count": 106} == told(LATENCIES, 0.5, unknown, statistics=wanted)
    assert {"count": 101, "sum": 1500.5, "mean": 1500.5 / 101, "min": 0.5, "max": 90.0} == told(
        LATENCIES, 0.5, Buckets((), 0), statistics=wanted
    )


@pytest.mark.parametrize("value", [Buckets((), 3, 6.0), math.nan], ids=str)
def test_a_distribution_of_which_nothing_chosen_is_known_is_refused(value):
    """So that it is counted and said, and no row goes without a word."""
    expanded, refused = expand({"latency": Distribution((value,))}, ByKey(("std", "p50")))
    assert ({}, ["latency"]) == (expanded, [*refused])
    assert "none of std, p50 is known" in str(refused["latency"])


@pytest.mark.parametrize("low", [0, -32, 1000])
def test_bins_are_of_equal_width_from_the_least_to_the_greatest(low):
    """A value on an edge is in the bin above it, and the greatest in the last."""
    values = [float(low + place) for place in range(65)]
    assert ([1] * 63 + [2], values) == told(*values)[""]


@pytest.mark.parametrize("value", [0.0, 3.0, -3.0, 2.0**60, -(2.0**60)])
def test_one_value_is_in_the_middle_of_its_bins(value):
    """They are wide enough to have floats between them."""
    pad = max(0.5, abs(value) / 2**40)
    counts, edges = told(value, value)[""]
    assert [0] * 32 + [2] + [0] * 31 == counts
    assert [value - pad, value, value + pad] == edges[::32]


def test_zeros_alone_are_one_bin():
    """Of an exponential histogram whose zero bucket has no width."""
    made = told(Buckets(((0.0, 0.0, 7),), 7, 0.0, 0.0, 0.0))
    assert ([7], [-0.5, 0.5]) == made[""]
    assert (0.0, 0.0) == (made["p50"], made["p99"])


@pytest.mark.parametrize("value", [3.0, -(2.0**60), 2.0**60])
def test_one_value_in_buckets_is_one_bin_around_it(value):
    """Wide enough to have floats between its edges."""
    pad = max(0.5, abs(value) / 2**40)
    assert ([7], [value - pad, value + pad]) == told(Buckets(((value, value, 7),), 7, 7 * value))[""]


@pytest.mark.parametrize(("places", "bins"), [(1, 1), (512, 512), (513, 257), (1500, 500)])
def test_no_more_bins_than_wandb_takes(places, bins):
    """Neighbours are joined, and no value is lost."""
    intervals = tuple((float(place), place + 1.0, place % 3 + 1) for place in range(places))
    buckets = Buckets(intervals, sum(count for *_, count in intervals), 1.0)
    counts, edges = told(buckets)[""]
    assert bins == len(counts)
    assert (buckets.count, 0.0, places) == (sum(counts), edges[0], edges[-1])


def test_of_values_beside_buckets_the_outermost_are_edges():
    """Those between them make no bins of their own."""
    made = told(LATENCIES, 200.0, 300.0, 500.0)
    assert ([10, 80, 10, 1, 2], [0.0, 10.0, 20.0, 100.0, 200.0, 500.0]) == made[""]


def test_percentiles_of_values_within_a_bucket():
    """Half of all are the same value: it is the percentile of all that falls to it."""
    buckets = Buckets(((0.0, 10.0, 10),), 10, 50.0)
    wanted = {"p0": 0.0, "p10": 2.0, "p25": 5.0, "p50": 5.0, "p75": 5.0, "p90": 8.0, "p100": 10.0}
    assert wanted == pytest.approx(told(buckets, *[5.0] * 10, statistics=tuple(wanted)))


def test_a_percentile_at_a_gap_is_the_value_below_it():
    """The least that so many are below, or at."""
    gap = Buckets(((0.0, 1.0, 50), (3.0, 4.0, 50)), 100, 200.0)
    assert {"p50": 1.0, "p51": 3.02} == pytest.approx(told(gap, statistics=("p50", "p51")))


def test_a_percentile_of_very_many_values_is_not_past_the_last():
    """Where the number of those below it is rounded up, too."""
    count = next(count for count in range(2**53 // 10, 2**53) if count * 100.0 / 100 > count)
    many = Buckets(((0.0, 1.0, count),), count, 1.0)
    assert {"p100": 1.0} == told(many, statistics=("p100",))


def test_buckets_may_be_wider_than_any_float():
    """Their counts and percentiles are those of narrow ones."""
    wide = Buckets(((-1.6e308, 1.6e308, 100),), 100, 0.0)
    upper = Buckets(((0.0, 1.6e308, 50),), 50, 0.0)
    wanted = {"p0": -1.6e308, "p25": -0.8e308, "p50": 0.0, "p75": 0.8e308, "p100": 1.6e308}
    assert wanted == pytest.approx(told(wide, statistics=tuple(wanted)))
    made = told(wide, upper, statistics=("histogram", "p20", "p50", "p90"))
    assert ([50, 100], [-1.6e308, 0.0, 1.6e308]) == made.pop("")
    assert {"p20": -0.64e308, "p50": 0.4e308, "p90": 1.36e308} == pytest.approx(made)


def test_a_choice_of_statistics_by_key():
    """The longest pattern that matches holds; a dot would be taken for nesting."""
    values = {"a": Distribution((1.0, 2.0, 3.0, 4.0)), "b/c": Distribution((1.0, 3.0)), "d": 5}
    chosen = ByKey(("count",), {"b/*": checked("histograms", "sum, std, p99.9, p0, p100")})
    expanded, _ = expand(values, chosen)
    of_b = {"b/c/sum": 4.0, "b/c/std": 1.0, "b/c/p99_9": 2.998, "b/c/p0": 1.0, "b/c/p100": 3.0}
    assert {"a/count": 4, **of_b, "d": 5} == {key: round(value, 6) for key, value in expanded.items()}


@pytest.mark.parametrize(
    "given", ["histogram, p50,", ["histogram", "p50", "histogram"], ("histogram", "p50")], ids=str
)
def test_statistics_are_named_by_a_list_or_a_text(given):
    """Each once, in their order."""
    assert ("histogram", "p50") == checked("histograms", given)


@pytest.mark.parametrize(
    "given", [5, [5], ["count", 5], "", [], "median", "p101", "p", "p5x", {"count": 1}], ids=str
)
def test_other_names_are_refused_with_what_is_expected(given):
    """By the name of the option."""
    with pytest.raises((TypeError, ValueError), match=r"histograms must .*p0 to p100 .*; got"):
        checked("histograms", given)


FLOATS = st.floats(-1e308, 1e308)
_LOW, _HIGH = -9.999999999999998e307, -9.99999999999998e307
NARROW = Buckets(((_LOW, _HIGH, 1),), 1, 0.0, _LOW, _HIGH)
"""A weighted sum of its bounds does not rise with the weight."""


@st.composite
def some_buckets(draw):
    edges = sorted(draw(st.lists(FLOATS, min_size=2, max_size=9, unique=True)))
    counts = draw(st.lists(st.integers(1, 1000), min_size=len(edges) - 1, max_size=len(edges) - 1))
    intervals = tuple(zip(edges, edges[1:], counts, strict=False))
    return Buckets(intervals, sum(counts), 0.0, edges[0], edges[-1])


@given(st.lists(some_buckets(), min_size=1, max_size=4), st.lists(FLOATS, max_size=5))
@example([NARROW], [])
@example([Buckets(((0.0, 5e-324, 1),), 1, 0.0, 0.0, 5e-324)], [])
def test_no_value_is_lost_and_percentiles_rise(buckets, values):
    """Whatever overlaps, however wide or narrow."""
    mixture = Mixture(sorted(values), buckets)
    counts, edges = mixture.histogram()
    assert sum(each.count for each in buckets) + len(values) == sum(counts)
    assert all(count >= 0 for count in counts)
    assert edges == sorted(set(edges))
    assert len(edges) == len(counts) + 1
    percentiles = [mixture.percentile(percent) for percent in range(0, 101, 5)]
    assert percentiles == list(accumulate(percentiles, max))
    assert edges[0] <= percentiles[0]
    assert percentiles[-1] <= edges[-1]


_GREATEST = sys.float_info.max


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
@example([2.0**52, 2.0**52 + 40])
@example([2.0**53 - 20, 2.0**53 + 20])
@example([-(2.0**53) - 20, 20 - 2.0**53])
@example([_GREATEST])
@example([-_GREATEST])
@example([-_GREATEST, _GREATEST])
@example([0.0, 5e-324])
@example([0.0, 352 * 5e-324])
def test_each_value_lies_between_the_edges_of_its_bin(values):
    """Edges are finite and rise, however far apart or close the values are."""
    values.sort()
    counts, edges = histogram(values)
    assert (BINS, BINS + 1) == (len(counts), len(edges))
    assert edges == sorted(set(edges))
    assert all(map(math.isfinite, edges))
    assert edges[0] <= values[0]
    assert values[-1] <= edges[-1]
    assert len(values) == sum(counts)
    places = [place for place, count in enumerate(counts) for _ in range(count)]
    for place, value in zip(places, values, strict=True):  # by rounding, beside the edge at most
        assert edges[max(place - 1, 0)] <= value <= edges[min(place + 2, BINS)]
