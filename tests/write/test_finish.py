"""To be told before a run finishes, whatever way it ends."""

import itertools

import pytest
import wandb
from wandb import wandb_run

from otel_wandb_bridge.testing import FakeRun
from otel_wandb_bridge.write import finish
from otel_wandb_bridge.write.finish import after_init, before_finish, watch
from otel_wandb_bridge.write.hooks import hook_of

WRAPPED = ((wandb, "init"), (wandb, "teardown"), (wandb_run.Run, "_finish"), (FakeRun, "finish"))


@pytest.fixture(autouse=True)
def nobody_listens():
    """Exporters that other tests have left behind are not told meanwhile."""
    lists = finish._callbacks, finish._onlookers
    before = [[*each] for each in lists]
    for hook in itertools.starmap(hook_of, WRAPPED):
        while hook._needs:
            hook._take_off(next(iter(hook._needs)))
    for each in (*lists, finish._hooks):
        each.clear()
    yield
    finish._hooks.clear()
    for callbacks, only_looks in zip(before, (False, True), strict=True):
        for callback in callbacks:
            before_finish(callback, only_looks=only_looks)


@pytest.fixture
def calls(monkeypatch):
    """W&B's `init` and `teardown` do nothing but be noted here, as what else is called in their course."""
    made = []

    def init(**options):
        made.append("init")
        return FakeRun()

    def teardown(exit_code=None):
        made.append(f"teardown {exit_code}")
        return "torn down"

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(wandb, "teardown", teardown)
    monkeypatch.setattr(finish, "before_handlers_of_now", lambda: made.append("before W&B's handler"))
    monkeypatch.setattr(finish, "last_look", lambda *run: made.append(f"looked at {len(run) or 'all'}"))
    monkeypatch.setattr(finish, "_is_service_known", False)
    return made


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


def test_a_teardown_tells_of_all_runs(calls):
    """Before, and W&B's log is looked at after; its arguments and its answer are its own."""
    take_off = before_finish(lambda run: calls.append(run))
    assert "torn down" == wandb.teardown(exit_code=3)
    take_off()
    assert [None, "teardown 3", "looked at all"] == calls


def test_the_log_of_a_run_is_looked_at_after_its_finish(calls):
    """What W&B's service says at the very end, it says in there."""
    run = FakeRun()
    take_off = before_finish(lambda _: calls.append(run.finished))
    watch(run)
    run.finish()
    take_off()
    assert [False, "looked at 1"] == calls


def test_what_later_exit_handlers_record_is_flushed_before_those_of_wandb(calls):
    """W&B registers its own at the first `wandb.init`, and at the first after a teardown."""
    take_off = before_finish(lambda run: None)
    for _ in range(2):
        assert isinstance(wandb.init(), FakeRun)
    wandb.teardown()
    wandb.init()
    take_off()
    assert 2 == calls.count("before W&B's handler")
    assert ["init", "before W&B's handler", "init", "teardown None"] == calls[:4]
    assert ["init", "before W&B's handler"] == calls[-2:]


def test_who_is_told_first():
    """Who looks, also those that came later; then those that want to be first; then all in turn."""
    told, run = [], FakeRun()
    ways = {"a": {}, "b": {}, "first": {"first": True}, "looks": {"only_looks": True}}
    ways["looks too"] = {"only_looks": True, "first": False}
    take_off = [before_finish(lambda _, name=name: told.append(name), **way) for name, way in ways.items()]
    watch(run)
    run.finish()
    for each in take_off:
        each()
    assert ["looks", "looks too", "first", "a", "b"] == told


@pytest.mark.parametrize("way", [{}, {"only_looks": True}], ids=str)
def test_with_the_last_one_everything_is_as_it_was(way):
    """However often it is taken off."""
    before = dict(vars(wandb_run.Run)), wandb.init, wandb.teardown, dict(vars(FakeRun))
    watch(FakeRun())
    one, other = before_finish(lambda run: None), before_finish(lambda run: None, **way)
    one()
    one()
    assert wandb.init is not before[1]
    assert vars(wandb_run.Run)["_finish"] is not before[0]["_finish"]
    other()
    assert before == (dict(vars(wandb_run.Run)), wandb.init, wandb.teardown, dict(vars(FakeRun)))


def test_a_kind_of_run_that_was_watched_before_is_told_of_later():
    """`watch` may come when nobody listens yet, or none but who looks."""

    class Double(FakeRun):
        def finish(self, exit_code=None):
            super().finish(exit_code)

    told = []
    watch(Double())
    assert not hasattr(Double.finish, "__wrapped__")
    take_off = before_finish(lambda run: told.append(type(run)))
    Double().finish()
    take_off()
    looks = before_finish(lambda run: told.append("looked"), only_looks=True)

    class Other(FakeRun):
        def finish(self, exit_code=None):
            return "finished"

    watch(Other())
    assert "finished" == Other().finish()
    looks()
    assert Double in told
    assert "looked" in told


def test_a_callback_may_be_told_of_each_new_run(calls):
    """And W&B gives the run out as ever."""
    told = []
    take_off = after_init(told.append)
    run = wandb.init()
    take_off()
    wandb.init()
    assert [run] == told
