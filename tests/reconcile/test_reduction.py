"""One value of a key out of what several processes report."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_wandb_bridge.reconcile.reduction import Reductions, Share, Statistic, number_in, reduced


def shares(*values, weights=None):
    """One share for each value, of rank 0, 1, ..., measured in this order."""
    weights = weights or [None] * len(values)
    return [
        Share(f"rank_{rank}", value, float(rank), weight)
        for rank, (value, weight) in enumerate(zip(values, weights, strict=True))
    ]


def declared(key, wanted, *values, weights=None):
    return reduced(key, Reductions({key: wanted}).of(key), shares(*values, weights=weights))


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        ("mean", 3.0),
        ("sum", 12.0),
        ("min", 0.5),
        ("max", 6.5),
        ("median", 2.5),
        ("p50", 2.5),
        ("p100", 6.5),
        ("p0", 0.5),
        ("std", statistics.pstdev([2.0, 0.5, 6.5, 3.0])),
        ("first", 2.0),
        ("last", 3.0),
        ("count", 4),
    ],
)
def test_each_statistic_is_what_its_name_says(statistic, expected):
    """One statistic stands under the key itself."""
    assert {"loss": pytest.approx(expected)} == declared("loss", statistic, 2.0, 0.5, 6.5, 3.0)


def test_the_first_statistic_stands_under_the_key_and_the_others_below_it():
    """As documented."""
    made = declared("time", ("mean", "max", "p95"), 1.0, 3.0)
    assert {"time": 2.0, "time/max": 3.0, "time/p95": pytest.approx(2.9)} == made


def test_the_default_is_the_mean_with_min_and_max_beside_it():
    """Where nothing is declared."""
    assert {"loss": 2.0, "loss/min": 1.0, "loss/max": 3.0} == reduced("loss", None, shares(1.0, 3.0))


def test_by_default_what_one_process_alone_reports_stands_as_it_is():
    """A learning rate that rank 0 reports has no spread."""
    assert {"lr": 3} == reduced("lr", None, shares(3))


def test_what_is_declared_is_written_of_one_process_too():
    """A column that somebody asked for has no holes."""
    assert {"time": 2.0, "time/max": 2.0} == declared("time", ["mean", "max"], 2.0)


def test_the_values_of_each_rank_are_written_on_request():
    """Beside the statistics, or alone."""
    assert {"loss": 2.0, "rank_0/loss": 1.0, "rank_1/loss": 3.0} == declared(
        "loss", ("mean", "per_rank"), 1.0, 3.0
    )
    assert {"rank_0/loss": 1.0, "rank_1/loss": 3.0} == declared("loss", "per_rank", 1.0, 3.0)


def test_the_mean_is_weighted_by_another_key():
    """Of processes that have the weight; the plain mean where none has."""
    assert {"loss": 2.5} == declared("loss", "mean(weight=tokens)", 1.0, 3.0, weights=[1, 3])
    assert {"loss": 3.0} == declared("loss", "mean(weight=tokens)", 1.0, 3.0, weights=[None, 3])
    assert {"loss": 2.0} == declared("loss", "mean(weight=tokens)", 1.0, 3.0)
    assert {"loss": 2.0} == declared("loss", "mean(weight=tokens)", 1.0, 3.0, weights=[0, 0])


@pytest.mark.parametrize("statistic", ["mean", "sum", "min", "max", "std", "p95", "median"])
def test_the_nan_of_one_rank_is_seen(statistic):
    """A loss that is not a number anywhere is no number."""
    assert math.isnan(declared("loss", statistic, 1.0, math.nan, 3.0)["loss"])


@pytest.mark.parametrize(
    ("values", "expected"),
    [((math.inf, 1.0), math.inf), ((10**400, 10**400), math.inf), ((1e308, 1e308), 1e308)],
)
def test_no_number_is_too_large_for_the_mean(values, expected):
    """Whatever ranks report, a row is made of it."""
    assert expected == declared("loss", "mean", *values)["loss"]
    assert math.isnan(declared("loss", "mean", math.inf, -math.inf)["loss"])


def test_a_key_by_its_name_goes_before_a_pattern_and_the_first_pattern_that_matches_counts():
    """Patterns are those of the shell."""
    reductions = Reductions({"time/*": "max", "time/step": "mean", "*/step": "sum"})
    assert (Statistic("mean"),) == reductions.of("time/step")
    assert (Statistic("max"),) == reductions.of("time/data")
    assert (Statistic("sum"),) == reductions.of("eval/step")
    assert reductions.of("loss") is None


@pytest.mark.parametrize(
    ("declaration", "what"),
    [
        ({"loss": "average"}, "average"),
        ({"loss": ()}, "()"),
        ({"loss": 5}, "5"),
        ({"loss": ("mean", 5)}, "5"),
        ({5: "mean"}, "5"),
        ({"": "mean"}, "''"),
        ({"loss": "p101"}, "p101"),
        ({"loss": "mean(weight=)"}, "mean(weight=)"),
    ],
)
def test_a_reduction_that_cannot_be_used_is_refused_by_name(declaration, what):
    """At the earliest moment, with what came."""
    with pytest.raises((TypeError, ValueError), match="reduce") as refused:
        Reductions(declaration)
    assert what in str(refused.value)


class Scalar:
    """As NumPy and PyTorch have them."""

    def __init__(self, value, shape=()):
        self.value, self.shape = value, shape

    def item(self):
        return self.value


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1),
        (0.5, 0.5),
        (True, True),
        (Scalar(2.5), 2.5),
        (Scalar(2.5, (1, 1)), 2.5),
        (Scalar(2.5, (2,)), None),
        (Scalar("text"), None),
        ("3", None),
        (None, None),
        ([1], None),
    ],
)
def test_numbers_are_told_from_all_else(value, number):
    """Text and media cannot be reduced."""
    assert number == number_in(value)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8))
def test_the_order_of_the_ranks_makes_no_difference(values):
    """Whoever comes first."""
    for statistic in ("mean", "sum", "min", "max", "p95", "std", "count"):
        one = Statistic(statistic).of(shares(*values))
        other = Statistic(statistic).of(shares(*reversed(values)))
        assert one == pytest.approx(other, abs=1e-6)
    assert min(values) - 1e-6 <= Statistic("mean").of(shares(*values)) <= max(values) + 1e-6
