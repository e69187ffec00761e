"""To be told before a run finishes, whatever way it ends."""

import wandb
from wandb import wandb_run

from otel_wandb_bridge.testing import FakeRun
from otel_wandb_bridge.write.finish import before_finish, watch


def test_both_explicit_ends_of_a_run_go_through_the_method_that_is_wrapped():
    """Should W&B rename `Run._finish`, the last interval would be lost silently."""
    assert hasattr(wandb_run.Run, "_finish"), "wandb.Run has no _finish any more: write/finish.py wraps it"
    take_off = before_finish(lambda run: None)
    assert hasattr(wandb_run.Run._finish, "__wrapped__")
    take_off()


def test_a_run_tells_before_it_finishes(tmp_path):
    """By the end of its `with` or by `wandb.finish`; each is still active then."""
    told = []

    def note(run):
        run.log({"last": 1})
        told.append(run.id)

    take_off = before_finish(note)
    try:
        with wandb.init(mode="offline", dir=tmp_path) as first:
            pass
        second = wandb.init(mode="offline", dir=tmp_path)
        wandb.finish()
    finally:
        take_off()
    with wandb.init(mode="offline", dir=tmp_path):
        pass
    assert [first.id, second.id] == told


def test_a_test_double_tells_too():
    """Whatever class it is of, once it is watched."""
    told = []
    take_off = before_finish(told.append)
    run = FakeRun()
    watch(run)
    run.finish()
    take_off()
    assert [run] == told


def test_what_a_callback_raises_does_not_reach_the_one_who_finishes(caplog):
    """It is logged with its traceback."""

    def fail(run):
        raise RuntimeError("cannot flush")

    take_off = before_finish(fail)
    run = FakeRun()
    watch(run)
    run.finish()
    take_off()
    assert run.finished
    assert "cannot flush" in caplog.text
