"""A transformers `Trainer` that reports to W&B, and a callback that logs beside it."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")  # without it there is no Trainer

pytestmark = pytest.mark.timeout(300)  # three processes, each of which has 80 s
PROGRAM = "train_transformers.py"
AXIS = "train/global_step"
STEPS = 24
WITH_A_STEP = {"user/started", "user/weight_norm", "user/step", "user/eval_seen"}


def test_as_is_w_and_b_throws_away_what_the_callback_logs_with_a_step(native):
    """W&B counts the calls of the Trainer, which name no step, and is soon ahead of every training step."""
    assert (0, WITH_A_STEP) == (native.code, native.keys_lost())
    assert native.rejected > STEPS


def test_fixed_it_ends_as_well_as_before(fixed):
    """It exits with 0, nothing is said by us, and W&B rejects nothing."""
    assert (0, [], 0) == (fixed.code, fixed.complaints(), fixed.rejected)


def test_fixed_every_value_is_at_its_step(fixed):
    """None is lost, and none is anywhere else."""
    assert ([], []) == (fixed.lost(), fixed.never_said())


def test_fixed_what_trainer_and_callback_say_of_a_step_is_one_row(fixed):
    """Training, evaluation and the callback; a second evaluation at the same step is a second row."""
    once = dict.fromkeys(range(STEPS), 1)
    assert {**once, STEPS: 2} == fixed.rows_with("train/loss", "eval/loss", *WITH_A_STEP)


def test_fixed_calls_without_a_step_stay_rows_of_their_own(fixed):
    """Also that of two calls of which the first says `commit=False`, and the predictions at the end."""
    assert [] == fixed.without_a_row_of_their_own()
    assert {STEPS: 1} == fixed.rows_with("test/loss")
    assert dict.fromkeys(range(1, STEPS + 1), 1) == fixed.rows_with("user/half", "user/other_half")


def test_fixed_charts_stay_on_the_axis_of_the_trainer(native, fixed):
    """It is defined for everything, and has the true step in every row."""
    assert {AXIS} == set(fixed.axes().values()) == set(native.axes().values())
    assert [] == fixed.off_the_axis(AXIS)


def test_fixed_the_summary_lacks_nothing(native, fixed):
    """What the Trainer puts there itself (`train_loss`) included."""
    assert set() == native.summary.keys() - fixed.summary.keys()
    assert native.summary["train_loss"] == pytest.approx(fixed.summary["train_loss"])


def test_where_no_row_waits_every_value_is_at_its_step_all_the_same(hurried):
    """What comes after its row is late, and not lost."""
    assert (0, [], 0) == (hurried.code, hurried.complaints(), hurried.rejected)
    assert ([], []) == (hurried.lost(), hurried.never_said())
    assert ([], []) == (hurried.without_a_row_of_their_own(), hurried.off_the_axis(AXIS))
