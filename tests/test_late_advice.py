"""What is advised where samples were late: what helps against that cause."""

import pytest

from otel_wandb_bridge import configure
from otel_wandb_bridge.causes import Cause
from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.reconcile import Policy, Reconciler
from otel_wandb_bridge.records import Sample
from otel_wandb_bridge.testing import FakeRun


@pytest.fixture
def said(caplog):
    """The line at the end of a run, as it is logged."""
    caplog.set_level("INFO", "otel_wandb_bridge")

    def line():
        (found,) = {text for text in caplog.messages if text.startswith("otel-wandb-bridge: samples")}
        return found

    return line


def bridge_to(run, **options):
    return configure(run, set_global=False, export_interval_millis=3_600_000, **options)


def test_a_source_that_goes_back_by_itself_is_told_of_disorder(said):
    """A helper function that several components call is one source: no hold brings its steps together."""
    with bridge_to(FakeRun()) as bridge:
        for step in range(12):
            bridge.log({"loss": step}, step=step, source="helper")
            bridge.force_flush()
            if step >= 8:
                bridge.log({"eval": step}, step=step - 8, source="helper")
    assert "4 late (helper 4)" in said()
    assert "disorder=8, or give each of its components a source of its own" in said()
    assert "hold" not in said()


def test_with_the_disorder_that_is_advised_nothing_is_late():
    """The number in the line is the right one, and the one below is not."""
    late = {}
    for disorder in (7, 8):
        ledger = Ledger()
        reconciler = Reconciler(Policy(disorder=disorder), ledger)
        for step in range(20):
            reconciler.add([sample(step)], 0.0)
            written(reconciler)
            if step >= 8:
                reconciler.add([sample(step - 8, "eval")], 0.0)
        late[disorder] = ledger.late
    assert {7: 12, 8: 0} == late


def test_a_source_that_others_overtook_is_told_of_hold(said):
    """It reports its steps in order, and after the rows were committed."""
    with bridge_to(FakeRun(), hold=2.5) as bridge:
        bridge.log({"loss": 0.5}, step=3, source="trainer")
        bridge.force_flush()
        bridge.log({"reward": 1.0}, step=2, source="reward")
    assert "raise hold above 2.5 s, or set expected_sources" in said()
    assert "disorder" not in said()


def test_a_leap_is_named(said):
    """A timestamp is no matter of hold."""
    with bridge_to(FakeRun()) as bridge:
        bridge.log({"loss": 0.5}, step=3, source="trainer")
        bridge.log({"x": 1}, step=1_732_450_000, source="clock")
    assert "1 late (clock 1)" in said()
    assert "its step leapt further ahead than max_step_jump=1000000: is it a timestamp?" in said()


def test_what_a_resumed_run_has_already_is_named(said):
    """Its rows cannot be written again."""
    with bridge_to(FakeRun(starting_step=5)) as bridge:
        bridge.log({"loss": 0.5}, step=3)
    assert "the run had rows of these steps before (it was resumed" in said()


def test_foreign_calls_that_used_the_steps_up_before_the_bridge_came_are_named(said, caplog):
    """In the line and, as soon as it is known, in the log; the steps are counted."""
    run = FakeRun()
    for step in range(4):
        run.log({"direct": step}, step=step, commit=True)
    with bridge_to(run) as bridge:
        for step in range(4):
            bridge.log({"loss": step}, step=step)
        bridge.force_flush()
        assert (4, 4) == (bridge.stats().late, bridge.stats().foreign_steps)
    assert "wandb.log beside the bridge had used up these steps" in said()
    assert "WANDB_STEP_FIX_ENABLED=true" in said()
    assert 1 == caplog.text.count("foreign: this run: wandb.log has used up steps of it")


def test_rows_of_a_bridge_before_are_not_foreign(said):
    """Another bridge of this process has written them."""
    run = FakeRun()
    with bridge_to(run) as bridge:
        bridge.log({"loss": 1}, step=3)
    with bridge_to(run) as bridge:
        bridge.log({"loss": 2}, step=1)
        bridge.force_flush()
        assert (1, 0) == (bridge.stats().late, bridge.stats().foreign_steps)
    assert "had another bridge" in said()


def test_of_several_causes_each_has_its_advice(said):
    """The most frequent first, with whom it is about."""
    with bridge_to(FakeRun()) as bridge:
        bridge.log({"loss": 1}, step=5, source="trainer")
        bridge.force_flush()
        for step in (1, 2, 3):
            bridge.log({"reward": 1}, step=step, source="reward")
        bridge.log({"loss": 1}, step=4, source="trainer")
    assert said().index("reward: for one row a step raise hold") < said().index("trainer: it goes back")


def test_every_late_sample_has_one_cause():
    """The causes add up to what is late."""
    ledger = Ledger()
    reconciler = Reconciler(Policy(), ledger)
    reconciler.start_at(3, foreign_from=2)
    for step in (1, 2, 5, 4, 10_000_000_000, 6):
        reconciler.add([sample(step)], 0.0)
        written(reconciler, everything=True)
    counted = {cause: counts.total() for cause, counts in ledger.late_for.items() if counts}
    assert {Cause.BEFORE_START: 1, Cause.FOREIGN: 1, Cause.WENT_BACK: 1, Cause.LEAP: 1} == counted
    assert 4 == ledger.late


def sample(step, key="loss"):
    return Sample("a", step, key, 1.0, 5, 0.0)


def written(reconciler, *, everything=False):
    reconciler.advance(0.0)
    while reconciler.peek(everything=everything):
        reconciler.pop()
