"""GRPO with TRL, and reward functions that log beside it."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("trl")

pytestmark = pytest.mark.timeout(300)  # three processes, each of which has 80 s
PROGRAM = "train_trl.py"
AXIS = "train/global_step"
STEPS = 6
PROFILED = "profiling/Time taken: GRPOTrainer.compute_loss"


def test_as_is_w_and_b_throws_away_what_the_reward_logs_with_a_step(native):
    """TRL's profiling alone takes W&B eight steps ahead for each step of the training."""
    assert (0, {"reward/mean_length"}) == (native.code, native.keys_lost())
    assert native.rejected > STEPS


def test_fixed_it_ends_as_well_as_before(fixed):
    """It exits with 0, nothing is said by us, and W&B rejects nothing."""
    assert (0, [], 0) == (fixed.code, fixed.complaints(), fixed.rejected)


def test_fixed_every_value_is_at_its_step(fixed):
    """None is lost, and none is anywhere else."""
    assert ([], []) == (fixed.lost(), fixed.never_said())


def test_fixed_what_trainer_and_reward_say_of_a_step_is_one_row(fixed):
    """The reward of the first batch is at step 0, where the trainer has said nothing yet."""
    assert dict.fromkeys(range(1, STEPS + 1), 1) == fixed.rows_with(
        "train/reward", "eval/reward", "train/epoch"
    )
    together = [row for row in fixed.rows if {"train/reward", "reward/mean_length"} <= row.keys()]
    assert list(range(1, STEPS + 1)) == [row["global_step"] for row in together]


def test_fixed_calls_without_a_step_stay_rows_of_their_own(native, fixed):
    """Each of the profiling, and each table of completions: as many points in the chart as ever."""
    assert [] == fixed.without_a_row_of_their_own()
    for key in (PROFILED, "completions", "reward/variety"):
        assert sum(key in row for row in native.rows) == sum(key in row for row in fixed.rows) > STEPS


def test_fixed_charts_stay_on_the_axis_of_the_trainer(native, fixed):
    """It is defined for everything, and has the true step in every row."""
    assert {AXIS} == set(fixed.axes().values()) == set(native.axes().values())
    assert [] == fixed.off_the_axis(AXIS)


def test_fixed_summary_and_tables_lack_nothing(native, fixed):
    """The files of the tables are there, those of early steps too."""
    assert set() == native.summary.keys() - fixed.summary.keys()
    assert [] == native.missing_files() == fixed.missing_files()


def test_where_no_row_waits_every_value_is_at_its_step_all_the_same(hurried):
    """What comes after its row is late, and not lost."""
    assert (0, [], 0) == (hurried.code, hurried.complaints(), hurried.rejected)
    assert ([], []) == (hurried.lost(), hurried.never_said())
    assert ([], []) == (hurried.without_a_row_of_their_own(), hurried.off_the_axis(AXIS))
