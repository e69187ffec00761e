"""A training loop with accelerate's tracker, an evaluator behind it, and calls beside it."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

pytestmark = pytest.mark.timeout(300)  # three processes, each of which has 80 s
PROGRAM = "train_accelerate.py"
STEPS = 30
EVALUATED = {"eval/loss", "eval/of"}


def test_as_is_w_and_b_throws_away_what_is_behind(native):
    """The evaluator is six steps late, and a call without a step takes the number of the next of its step."""
    assert (0, EVALUATED | {"samples"}) == (native.code, native.keys_lost())
    assert native.rejected > len(EVALUATED)


def test_fixed_it_ends_as_well_as_before(fixed):
    """It exits with 0, nothing is said by us, and W&B rejects nothing."""
    assert (0, [], 0) == (fixed.code, fixed.complaints(), fixed.rejected)


def test_fixed_every_value_is_at_its_step(fixed):
    """None is lost, and none is anywhere else."""
    assert ([], []) == (fixed.lost(), fixed.never_said())


def test_fixed_what_the_loop_says_of_a_step_is_one_row(fixed):
    """Two calls of the tracker, the second with nested keys, and its table."""
    assert dict.fromkeys(range(STEPS), 1) == fixed.rows_with(
        "train/loss", "train/step", "optim.lr", "samples"
    )


def test_fixed_calls_without_a_step_stay_rows_of_their_own(native, fixed):
    """As many points in their chart as ever."""
    assert [] == fixed.without_a_row_of_their_own()
    for key in ("user/free", "user/joined"):
        assert sum(key in row for row in native.rows) == sum(key in row for row in fixed.rows) == 6


def test_fixed_charts_are_on_the_training_step(native, fixed):
    """accelerate defines no axis; `_step` is no training step once there is more than one row for each."""
    assert {"_step"} == set(native.axes().values())
    assert dict.fromkeys(fixed.axes(), "global_step") == fixed.axes()


def test_fixed_summary_and_tables_lack_nothing(native, fixed):
    """The files of the tables are there, which W&B threw away before."""
    assert set() == native.summary.keys() - fixed.summary.keys()
    assert [] == fixed.missing_files()
    assert [9, 19, 29] == [row["global_step"] for row in fixed.rows if "samples" in row]


def test_where_no_row_waits_every_value_is_at_its_step_all_the_same(hurried):
    """What comes after its row is late, and not lost."""
    assert (0, [], 0) == (hurried.code, hurried.complaints(), hurried.rejected)
    assert ([], []) == (hurried.lost(), hurried.never_said())
    assert [] == hurried.without_a_row_of_their_own()
