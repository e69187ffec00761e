"""What rows say about their steps: laws of `History`, for any rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_wandb_bridge.inspection import History


def rows(*steps, axis="global_step", **values):
    return [{"_step": number, axis: step, "loss": 0.5, **values} for number, step in enumerate(steps)]


def kinds(history, **options):
    return {problem.kind: problem.count for problem in history.problems(**options)}


def test_one_row_a_step_in_rising_order_is_no_problem():
    """Nothing is said where all is well."""
    assert {} == kinds(History(rows(0, 1, 2, 3), "global_step"))


def test_a_row_after_a_higher_step_is_late():
    """It counts from the highest step so far, not from the row before."""
    history = History(rows(0, 5, 3, 4, 6), "global_step")
    assert [3, 4] == [row["global_step"] for row in history.late]
    assert {"late": 2} == kinds(history)


def test_a_step_in_two_rows_is_repeated_and_a_key_in_both_is_there_twice():
    """The first may be as chosen (a late row); the second is a value that stands in nobody's way by luck."""
    apart = [{"_step": 0, "global_step": 4, "loss": 1.0}, {"_step": 1, "global_step": 4, "reward": 2.0}]
    assert {"repeated": 1} == kinds(History(apart, "global_step"))
    assert {"repeated": 1, "twice": 1} == kinds(History(rows(4, 4), "global_step"))


def test_late_rows_pass_where_they_are_fine_but_no_value_is_there_twice():
    """As `otel-wandb inspect --check --late-ok` judges."""
    late = [*rows(0, 5), {"_step": 2, "global_step": 3, "eval": 1.0}]
    assert {} == kinds(History(late, "global_step"), late_is_fine=True)
    assert {"twice": 1} == kinds(History(rows(0, 5, 0), "global_step"), late_is_fine=True)


def test_rows_out_of_w_and_bs_own_order_are_a_problem_whatever_the_axis():
    """W&B identifies a row by `_step`."""
    double = [{"_step": 0, "global_step": 0}, {"_step": 0, "global_step": 1}]
    assert {"w&b order": 1} == kinds(History(double, "global_step"))


def test_a_row_without_the_axis_is_a_problem():
    """Nobody can say where in the training it belongs."""
    assert {"no axis": 1} == kinds(History([*rows(0), {"_step": 1, "loss": 1}], "global_step"))


@pytest.mark.parametrize(
    ("steps", "missing", "gaps"),
    [
        ([0, 1, 2], 0, []),
        ([0, 1, 4, 5], 2, [(2, 3)]),
        ([0, 10, 20, 40], 1, [(30, 30)]),
        ([7], 0, []),
        ([], 0, []),
    ],
)
def test_missing_steps_are_counted_at_the_most_common_distance(steps, missing, gaps):
    """A run that is logged every ten steps lacks nothing in between."""
    history = History(rows(*steps), "global_step")
    assert (missing, gaps) == (history.missing, history.gaps)


def test_curves_follow_the_step_and_not_the_row():
    """A late point stands where it belongs; nested keys have dots; what is no finite number is not drawn."""
    history = History(
        [
            {"_step": 0, "global_step": 5, "eval": {"loss": 2.0}},
            {"_step": 1, "global_step": 3, "eval": {"loss": float("nan")}},
            {"_step": 2, "global_step": 9, "eval": {"loss": 1}, "table": {"_type": "table-file"}},
        ],
        "global_step",
    )
    loss, table = history.curves
    assert ("eval.loss", [(5, 2.0), (9, 1.0)]) == (loss.key, loss.numbers)
    assert (3, 5, 9) == tuple(step for step, _ in loss.points)
    assert ("table", []) == (table.key, table.numbers)


@given(st.lists(st.integers(0, 30), max_size=40))
def test_what_is_said_of_steps_adds_up(steps):
    """Rows are the distinct steps and the repetitions; rising rows have none of either problem."""
    history = History(rows(*steps), "global_step")
    repetitions = sum(count - 1 for count in history.repeated.values())
    assert len(steps) == len(history.steps) + repetitions
    assert (steps == sorted(set(steps))) == (kinds(history) == {})
    if steps:
        span = set(range(min(steps), max(steps) + 1, int(history.stride)))
        if set(history.steps) <= span:
            assert len(span - set(history.steps)) == history.missing
