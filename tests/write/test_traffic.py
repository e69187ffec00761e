"""A foreign writer never comes between our look at the run's step and our row."""

import functools
import queue
import threading

import pytest
import wandb
from wandb import wandb_run
from watched_run import WatchedRun

from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.records import Row
from otel_wandb_bridge.testing import read_rows
from otel_wandb_bridge.write.run import WANDB_THREAD
from otel_wandb_bridge.write.traffic import is_for_wandb, is_own, traffic_of
from otel_wandb_bridge.write.whole_calls import learn_step, log_as_it_is, log_whole
from otel_wandb_bridge.write.writer import RunWriter


def test_all_ways_to_log_go_through_the_method_that_is_wrapped(tmp_path):
    """Should W&B rename `Run._log`, foreign rows could make W&B drop ours, silently."""
    assert hasattr(wandb_run.Run, "_log"), "wandb.Run has no _log any more: write/traffic.py wraps it"
    with wandb.init(mode="offline", dir=tmp_path) as run:
        saved = run.log
        traffic = traffic_of(run)
        for log in (saved, run.log, wandb.log, wandb.run.log):
            log({"foreign": 1})
        assert 4 == traffic.foreign_calls
        ours = {"ours": 1}

        def log(values, **more):
            run.log(values, **more)
            assert 4 == traffic.foreign_calls
            run.log({"of a signal handler": 1})

        with traffic.ours():
            traffic.log_own(log, ours, None, commit=True)
        assert 5 == traffic.foreign_calls


def test_a_call_that_waited_costs_no_row_of_a_writer_that_was_made_meanwhile(tmp_path):
    """It goes by the way that there was when it came, past whoever counts foreign calls by now."""
    run = wandb.init(mode="offline", dir=tmp_path)
    file, way = run.settings.sync_file, functools.partial(wandb_run.Run._log, run)
    writer = RunWriter(run, "global_step", Ledger())
    writer.begin()
    log_whole(run, way, {"whole": 1}, None, None, "global_step")
    writer.take(Row(0, {"loss": 0}, 0.0, 1))
    assert writer.flush()
    writer.begin()
    log_as_it_is(run, way, {"as it is": 1}, None, None)
    writer.take(Row(2, {"loss": 2}, 0.0, 1))
    assert writer.flush()
    writer.close()
    run.finish()
    wandb.teardown()
    rows = read_rows(file)
    assert [0, 2] == [row["global_step"] for row in rows if "loss" in row]
    assert [1, 1] == [row.get("whole") or row.get("as it is") for row in rows if "loss" not in row]


def test_a_finalizer_in_the_thread_of_wandb_waits_for_nobody(tmp_path):
    """Whoever holds the lock may wait for that thread: W&B is to refuse the call, as it does without us."""
    answers = queue.SimpleQueue()
    with wandb.init(mode="offline", dir=tmp_path) as run:
        traffic = traffic_of(run)

        def finalize():
            run.log({"foreign": 1})
            answers.put("not kept waiting")

        with traffic.ours():
            thread = threading.Thread(target=finalize, name=WANDB_THREAD)
            thread.start()
            assert "not kept waiting" == answers.get(timeout=30)
        thread.join()


def test_a_foreign_writer_during_a_flush_costs_no_row(tmp_path):
    """Every row of ours is in the file, and in order, whatever is logged in between."""
    run = wandb.init(mode="offline", dir=tmp_path)
    file, ledger, stop = run.settings.sync_file, Ledger(), threading.Event()
    writer = RunWriter(run, "global_step", ledger)

    def log_all_the_time():
        while not stop.is_set():
            run.log({"foreign": 1})

    foreign = threading.Thread(target=log_all_the_time)
    foreign.start()
    writer.begin()
    for step in range(300):
        writer.take(Row(step, {"loss": step}, 0.0, 1))
        if step % 30 == 29:
            writer.flush()
    stop.set()
    foreign.join()
    run.finish()
    wandb.teardown()
    rows = read_rows(file)
    assert list(range(300)) == [row["global_step"] for row in rows if "loss" in row]
    assert list(range(300)) == [row["loss"] for row in rows if "loss" in row]
    assert sorted(row["_step"] for row in rows) == [row["_step"] for row in rows]
    assert ledger.foreign_steps > 0


def log(run, step, commit=None, **values):
    return log_whole(run, run.log, values, step, commit, "global_step")


def test_what_is_logged_whole_joins_the_row_of_its_step_and_seals_none_below():
    """Below W&B's count it is a row of its own, past the one in the making, and says its step itself."""
    run = WatchedRun()
    log(run, 3, a=1)
    log(run, 3, b=1)
    log(run, 5, a=2)
    log(run, 4, c=1)
    log(run, 5, c=2)
    log(run, 9, a=3, commit=True)
    log(run, 9, a=4)
    log(run, None, a=5)
    log(run, None, b=5, commit=False)
    log(run, None, c=5)
    log(run, 13, a=6)
    run.finish()
    assert [] == run.dropped
    assert [
        {"_step": 3, "global_step": 3, "a": 1, "b": 1},
        {"_step": 5, "global_step": 5, "a": 2},
        {"_step": 6, "global_step": 4, "c": 1},
        {"_step": 8, "global_step": 5, "c": 2},
        {"_step": 9, "global_step": 9, "a": 3},
        {"_step": 11, "global_step": 9, "a": 4},
        {"_step": 12, "a": 5},
        {"_step": 13, "b": 5, "c": 5},
        {"_step": 15, "global_step": 13, "a": 6},
    ] == run.rows


def test_what_a_call_has_under_the_axis_stands():
    """The step is filled in where the axis is missing; the caller's dict stays as it was."""
    run = WatchedRun()
    values = {"global_step": 70}
    assert "logged" == log_whole(run, run.log, values, 7, True, "global_step")
    assert [{"_step": 7, "global_step": 70}] == run.rows
    given = {}
    assert "logged" == log_whole(run, run.log, given, 8, True, "global_step")
    assert {} == given


def test_wandb_is_asked_for_its_step_where_somebody_else_may_have_moved_it():
    """Not before each call."""
    run = WatchedRun()
    traffic = traffic_of(run)
    for step in range(3):
        log(run, step, a=1)
    asked = run.asked
    log(run, 3, a=1)
    assert asked == run.asked
    run.log({"foreign": 1}, step=10)
    log(run, 4, a=1)
    assert asked + 1 == run.asked
    with traffic.ours():
        traffic.log_own(run.log, {"ours": 1}, 20, commit=True)
    log(run, 5, a=1)
    assert asked + 2 == run.asked
    traffic.close()
    run.finish()
    assert [] == run.dropped
    assert [10, 11, 20, 22] == [row["_step"] for row in run.rows][-4:]


def test_a_step_that_was_learnt_needs_no_answer():
    """A run that is about to finish may be long in answering."""
    run = WatchedRun()
    run.log({"foreign": 1}, step=5)
    learn_step(run)
    run.is_deaf = True
    log(run, 4, a=1)
    assert [(5, None), (6, 4)] == [(row["_step"], row.get("global_step")) for row in run.rows]


def test_a_run_that_does_not_answer_is_left_to_say_so_itself():
    """It is asked anew the next time."""
    run = WatchedRun()
    log(run, 5, a=1, commit=True)
    run.is_deaf = True
    traffic_of(run).close()
    assert "logged" == log(run, 6, a=1, commit=True)
    run.is_deaf = False
    assert "logged" == log(run, 4, a=1)
    assert [5, 6, 8] == [row["_step"] for row in run.rows]


def test_a_run_that_numbers_its_rows_itself_is_never_asked():
    """It raises when it is; whatever is below its count is its own to place."""
    run = WatchedRun()
    run.settings.mode = "shared"
    said = []
    for step in (5, 4):
        log_whole(run, lambda values, **more: said.append(more), {}, step, None, "global_step")
    learn_step(run)
    assert [{"step": 5, "commit": None}, {"step": 4, "commit": None}] == said
    assert 0 == run.asked


def test_values_are_marked_while_they_are_on_their_way():
    """In their own thread alone, and each call in the midst of another has a mark of its own."""
    run, seen = WatchedRun(), []

    def outer(values, **more):
        seen.append((is_for_wandb(values), is_own(values), is_for_wandb({})))
        log_whole(run, inner, {"inner": 1}, None, None, "global_step")
        seen.append((is_for_wandb(values), is_own(values)))
        other = threading.Thread(target=lambda: seen.append(is_for_wandb(values)))
        other.start()
        other.join()
        raise RuntimeError("refused")

    def inner(values, **more):
        seen.append((is_for_wandb(values), is_own(values)))
        traffic_of(run).log_own(own, {"own": 1}, None, commit=True)

    def own(values, **more):
        seen.append((is_for_wandb(values), is_own(values)))

    with pytest.raises(RuntimeError):
        log_whole(run, outer, {"outer": 1}, None, None, "global_step")
    traffic_of(run).close()
    assert [(True, False, False), (True, False), (True, True), (True, False), False] == seen
    assert not is_for_wandb(None)


@pytest.mark.parametrize(
    ("step", "commit", "is_open"),
    [
        (None, None, False),
        (None, True, False),
        (None, False, True),
        (3, None, True),
        (3, True, False),
        (3, False, True),
    ],
)
def test_a_foreign_call_leaves_a_row_open_unless_it_seals_it(step, commit, is_open):
    """Without a step, W&B seals it; one that W&B refuses changes nothing."""
    run = WatchedRun()
    traffic = traffic_of(run)
    assert traffic.may_be_open is None
    run.log({"foreign": 1}, step=step, commit=commit)
    assert is_open is traffic.may_be_open
    with pytest.raises(TypeError):
        run.log({"foreign": object()}, commit=is_open)
    assert is_open is traffic.may_be_open
    assert 2 == traffic.foreign_calls
    traffic.close()
    run.log({"nobody": "looks"})
    assert 2 == traffic.foreign_calls
    assert traffic is traffic_of(run), "a run has one"
    assert traffic.may_be_open is None, "it may have been written to while nobody looked"
    traffic_of(run).close()


def test_a_mark_is_gone_when_the_call_has_returned():
    """The same dict may be logged by somebody else then."""
    run, values = WatchedRun(), {"ours": 1}
    traffic = traffic_of(run)
    traffic.log_own(run.log, values, None, commit=True)
    traffic.close()
    assert not is_for_wandb(values)
    assert 0 == traffic.foreign_calls


def test_a_run_that_nobody_writes_is_left_alone():
    """While another one is watched."""
    traffic, other = traffic_of(WatchedRun()), WatchedRun()
    assert "logged" == other.log({"a": 1})
    traffic.close()
    assert [{"_step": 0, "a": 1}] == other.rows


def test_what_was_logged_while_nobody_looked_is_learnt_again():
    """The count of before is none to go by."""
    run = WatchedRun()
    traffic = traffic_of(run)
    log(run, 3, a=1)
    traffic.close()
    run.log({"foreign": 1}, step=10)
    traffic_of(run)
    log(run, 4, a=2)
    traffic.close()
    assert ([], [3, 10, 11]) == (run.dropped, [row["_step"] for row in run.rows])
