"""A Lightning `Trainer` with a `WandbLogger`, and a module that logs to the run beside it."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

pytestmark = pytest.mark.timeout(300)  # three processes, each of which has 80 s
PROGRAM = "train_lightning.py"
AXIS = "trainer/global_step"
STEPS = 24
WITH_A_STEP = {"user/explicit", "user/loss", "user/batch_mean", "user/page", "user/pages"}


def test_as_is_w_and_b_throws_away_what_the_module_logs_with_a_step(native):
    """The logger names no step to W&B, which counts its calls, and is soon ahead of every training step."""
    assert 0 == native.code
    assert native.keys_lost() <= WITH_A_STEP
    assert {"user/explicit", "user/loss", "user/batch_mean"} <= native.keys_lost()
    assert native.rejected > STEPS


def test_fixed_it_ends_as_well_as_before(fixed):
    """It exits with 0, nothing is said by us, and W&B rejects nothing."""
    assert (0, [], 0) == (fixed.code, fixed.complaints(), fixed.rejected)


def test_fixed_every_value_is_at_its_step(fixed):
    """None is lost, and none is anywhere else."""
    assert ([], []) == (fixed.lost(), fixed.never_said())


def test_fixed_what_logger_and_module_say_of_a_step_is_one_row(fixed):
    """The module with `step=` and with the step key, the logger with the latter, validation, histograms."""
    keys = ("train/loss", "val/loss", "user/by_key", "user/logged", "gradients/layer.weight")
    assert dict.fromkeys(range(STEPS + 1), 1) == fixed.rows_with(*keys)
    assert dict.fromkeys(range(STEPS), 1) == fixed.rows_with("user/by_key", "user/explicit")


def test_fixed_calls_without_a_step_stay_rows_of_their_own(native, fixed):
    """Those of each validation batch have as many points in their chart as ever."""
    assert [] == fixed.without_a_row_of_their_own()
    for key in ("user/free", "user/val_batch", "gradients/layer.weight"):
        assert sum(key in row for row in native.rows) == sum(key in row for row in fixed.rows) > 0


def test_fixed_charts_stay_on_the_axis_of_the_logger(native, fixed):
    """It is defined for everything, and has the true step in every row."""
    assert {AXIS} == set(fixed.axes().values()) == set(native.axes().values())
    assert [] == fixed.off_the_axis(AXIS)


def test_fixed_summary_and_pages_lack_nothing(native, fixed):
    """The files of the pages are there, those of early steps too."""
    assert set() == native.summary.keys() - fixed.summary.keys()
    assert [] == native.missing_files() == fixed.missing_files()


def test_where_no_row_waits_every_value_is_at_its_step_all_the_same(hurried):
    """What comes after its row is late, and not lost."""
    assert (0, [], 0) == (hurried.code, hurried.complaints(), hurried.rejected)
    assert ([], []) == (hurried.lost(), hurried.never_said())
    assert ([], []) == (hurried.without_a_row_of_their_own(), hurried.off_the_axis(AXIS))
