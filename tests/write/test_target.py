"""Which run the rows go to, and who has it."""

import logging
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import wandb

from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.records import Row
from otel_wandb_bridge.testing import FakeRun
from otel_wandb_bridge.write import target as module
from otel_wandb_bridge.write.target import RunTaken, RunTarget


@pytest.fixture
def wandb_run(monkeypatch):
    """`wandb.run`, to be set as `.run`."""
    present = SimpleNamespace(run=None)
    monkeypatch.setattr(module, "active_run", lambda: present.run)
    return present


@pytest.fixture
def made(monkeypatch):
    """Makes targets, which let their runs go at the end."""
    targets = []

    def make(run=None, **options):
        targets.append(RunTarget(run, "global_step", Ledger(), **options))
        return targets[-1]

    yield make
    for target in targets:
        target.release()


def test_a_run_that_was_given_is_bound_at_once(made):
    """And never another one."""
    run = FakeRun()
    target = made(run)
    assert (True, True, run, 0) == (target.is_bound, target.may_have_run, target.run, target.unconfirmed)
    assert target.writer() is target.writer()
    assert not target.is_over
    assert [True, True, False] == [target.writes(each) for each in (run, None, FakeRun())]


def test_the_run_of_wandb_init_is_followed_as_soon_as_it_is_there(made, wandb_run):
    """Each gets a writer when it is asked for, and not before."""
    target = made()
    assert (False, False, None, None) == (target.is_bound, target.may_have_run, target.run, target.writer())
    assert not target.writes(None)
    wandb_run.run = FakeRun()
    assert (False, True, 0) == (target.is_bound, target.may_have_run, target.unconfirmed)
    assert target.writes(wandb_run.run)
    assert (True, wandb_run.run) == (target.is_bound, target.run)
    first, wandb_run.run = wandb_run.run, FakeRun()
    assert target.writer().run is first, "until it finishes"


def test_one_run_after_the_other_is_followed_and_one_that_was_given_is_the_last(made, wandb_run, caplog):
    """A run that is let go of is not followed again: W&B calls it active while it finishes."""
    wandb_run.run = first = FakeRun()
    target = made()
    assert target.writer().run is first
    target.release()
    target.release()
    assert (None, False, False) == (target.writer(), target.may_have_run, target.is_over)
    wandb_run.run = None
    assert target.writer() is None
    assert "" == caplog.text
    wandb_run.run = second = FakeRun()
    assert target.may_have_run
    assert target.writer().run is second
    given = made(FakeRun())
    given.release()
    assert (None, True, False) == (given.writer(), given.is_over, given.may_have_run)


def test_a_run_has_one_exporter(made):
    """Two writers would use up each other's steps; once one lets go, another may have it."""
    run = FakeRun()
    run.id = "mine"
    one = made(run)
    with pytest.raises(RunTaken, match="run 'mine' already has a bridge in this process"):
        made(run)
    run.id = None
    with pytest.raises(RunTaken, match="FakeRun object at"):
        made(run)
    one.release()
    assert made(run).is_bound


def test_a_writer_is_closed_with_its_run_and_left_alone_in_a_forked_child(made, monkeypatch):
    """There, what it has open is the parent's."""
    said = []
    monkeypatch.setattr(module.RunWriter, "after_fork", lambda writer: said.append("after fork"))
    close = module.RunWriter.close
    monkeypatch.setattr(module.RunWriter, "close", lambda writer: (said.append("close"), close(writer)))
    made(FakeRun()).release()
    forked = made(FakeRun())
    writer = forked.writer()
    forked.forget(Ledger())
    forked.release()
    assert ["close", "after fork"] == said
    close(writer)


def test_an_exporter_that_was_dropped_without_a_word_has_nothing(made):
    """Nobody holds it any more."""
    run = FakeRun()
    RunTarget(run, "global_step", Ledger())
    assert made(run).is_bound


def test_who_gives_way_lets_go_and_stays_away_meanwhile(made, wandb_run):
    """Else it would follow the run once more, in between."""
    wandb_run.run = FakeRun()
    follower = made()
    events = []

    @contextmanager
    def lets_go():
        follower.release()
        events.append("away")
        yield
        events.append("back")

    follower.gives_way = lets_go
    assert follower.writer() is not None
    taker = made(wandb_run.run)
    assert ["away", "back"] == events
    assert taker.writes(wandb_run.run)
    assert not follower.is_bound


def test_a_run_that_is_followed_and_is_taken_is_said_once(made, wandb_run, caplog):
    """Nothing is raised: a flush in the background has nobody to tell."""
    wandb_run.run = FakeRun()
    made(wandb_run.run)
    follower = made()
    with caplog.at_level(logging.ERROR, "otel_wandb_bridge"):
        assert [None, None] == [follower.writer() for _ in range(2)]
    (record,) = caplog.records
    assert "already has a bridge in this process" in record.message
    assert logging.ERROR == record.levelno


@pytest.mark.parametrize("run", [3, FakeRun, wandb])
def test_what_is_no_run_is_refused(run):
    """A class, the module, a number."""
    with pytest.raises(TypeError, match="run must be what"):
        RunTarget(run, "global_step", Ledger())


def test_a_finished_run_is_refused_and_another_error_is_wandbs_own():
    """It is told apart by what W&B raises."""

    class Refusing(FakeRun):
        error = wandb.errors.UsageError("finished")

        def define_metric(self, name, **options):
            raise self.error

    run = Refusing()
    run.id = "old"
    with pytest.raises(ValueError, match="run 'old' is finished; pass a run that is active, or None"):
        RunTarget(run, "global_step", Ledger())
    run.error = ConnectionError("no answer")
    with pytest.raises(ConnectionError, match="no answer"):
        RunTarget(run, "global_step", Ledger())
    run.error = None
    Refusing.define_metric = FakeRun.define_metric
    RunTarget(run, "global_step", Ledger()).release()


def test_the_options_are_the_writers(made):
    """Axis, step keys, statistics of histograms."""
    run = FakeRun()
    target = made(run, step_keys=("train/global_step",))
    writer = target.writer()
    writer.take(Row(3, {"loss": 1.0}, 0.0, 1))
    assert 1 == target.unconfirmed
    assert writer.flush()
    assert 0 == target.unconfirmed
    assert 3 == run.rows[0]["global_step"]
    assert frozenset({"train/global_step"}) == writer._definitions._step_keys


def test_what_is_put_into_summary_and_config_needs_a_run(made, wandb_run):
    """Before there is one, and after, it goes nowhere."""
    target = made()
    target.put_into_summary({"bridge/late": 1})
    target.put_into_config({"sources": {"trainer": 1}})
    target.tell()
    wandb_run.run = run = FakeRun()
    target.writer()
    target.put_into_summary({"bridge/late": 2})
    target.put_into_config({"sources": {"trainer": 2}})
    target.tell()
    assert 2 == run.summary.get("bridge/late")
    assert {"sources": {"trainer": 2}} == run.config.get("otel")


def test_rows_that_wait_are_told_to_a_journal(made):
    """As the writer does it."""
    target, told = made(FakeRun()), []
    target.writer().before_commit = lambda rows, since: told.append([row.step for row, _ in rows])
    target.writer().take(Row(3, {"loss": 1.0}, 0.0, 1))
    target.tell()
    assert [[3]] == told


def test_a_run_is_finished_by_its_own_process_alone(made, wandb_run, monkeypatch):
    """A forked child leaves that to its parent."""
    target = made()
    target.finish(1)
    wandb_run.run = run = FakeRun()
    assert target.writer() is not None
    monkeypatch.setattr(module, "is_of_another_process", lambda run: True)
    target.finish(1)
    assert not run.finished
    monkeypatch.setattr(module, "is_of_another_process", lambda run: False)
    target.finish(7)
    assert (True, 7) == (run.finished, run.exit_code)


def test_a_forked_child_has_no_run_until_it_makes_one(made, wandb_run):
    """Whether the parent's was known already or was about to be followed."""
    wandb_run.run = FakeRun()
    for is_known in (True, False):
        target = made()
        if is_known:
            assert target.writer() is not None
        target.forget(Ledger())
        assert (None, False) == (target.writer(), target.may_have_run)
    own, wandb_run.run = wandb_run.run, FakeRun()
    assert target.writer().run is wandb_run.run is not own


def test_a_child_counts_for_itself(made, wandb_run):
    """What was counted before is the parent's."""
    target, ledger = made(), Ledger()
    target.forget(ledger)
    wandb_run.run = FakeRun()
    writer = target.writer()
    writer.take(Row(0, {"loss": 1.0}, 0.0, 1))
    writer.flush()
    assert 1 == ledger.rows


def test_a_run_that_is_written_is_watched(made):
    """Its finish is told, whatever class it is of."""
    from otel_wandb_bridge.write.finish import before_finish

    class Double(FakeRun):
        def finish(self, exit_code=None):
            super().finish(exit_code)

    told, run = [], Double()
    take_off = before_finish(told.append)
    made(run)
    run.finish()
    take_off()
    assert run in told
