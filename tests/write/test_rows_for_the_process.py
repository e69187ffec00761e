"""Rows that go to a process and rows that are written here: the same run, whatever becomes of the process.

The process of these tests writes to a run in memory; `end_to_end/test_writer_process.py` has the real one.
"""

import numpy
import pytest
from watched_run import WatchedRun, numbers, take

from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.records import Row
from otel_wandb_bridge.testing import FakeRun
from otel_wandb_bridge.write import outbox
from otel_wandb_bridge.write.traffic import Traffic
from otel_wandb_bridge.write.writer import RunWriter
from otel_wandb_bridge.write.writer_process import WriterProcessError


class Process:
    """The parent's end of a process, which writes to the run by a connection of its own."""

    def __init__(self, run):
        self.run = run
        self.is_up = True
        self.error = None
        self.batches = []
        """The steps of the rows that came at once."""
        self.takes = 1_000
        """How many rows it takes before it ends."""
        self.under_way = []
        """What it had sent when it ended, and W&B has not read yet."""
        self.ends = []

    def is_ready(self):
        if self.error is not None:
            raise self.error
        return self.is_up

    def write(self, rows):
        self.batches.append([step for _, step in rows])
        self.under_way = rows[: self.takes]
        if len(rows) > self.takes:
            raise WriterProcessError("it has ended")
        while self.under_way:
            self.arrive()

    def arrive(self, *_):
        if self.under_way:
            values, step = self.under_way.pop(0)
            FakeRun.log(self.run, values, step=step, commit=True)

    def close(self):
        self.ends.append("closed")

    def after_fork(self):
        self.ends.append("left to the parent")


@pytest.fixture
def processes(monkeypatch):
    """All that were started."""
    started = []

    def start(run):
        started.append(Process(run))
        return started[-1]

    monkeypatch.setattr(outbox, "WriterProcess", start)
    monkeypatch.setattr(outbox.time, "sleep", lambda seconds: started[0].arrive())
    return started


@pytest.fixture
def run():
    return WatchedRun()


@pytest.fixture
def writer(run, processes):
    """A writer with a process."""
    made = RunWriter(run, "global_step", Ledger())
    made.start_process()
    yield made
    made.close()


def test_rows_are_sent_at_once_and_counted(writer, run, processes):
    """W&B need not be asked for anything, and a late row has the next number there, too."""
    asked = run.asked
    take(writer, 0, 1, 2, 5)
    assert 4 == writer.unconfirmed
    assert writer.flush()
    writer.take(Row(3, {"loss": 1.5}, 0.0, 1, late=True))
    assert writer.flush()
    take(writer, 6)
    assert writer.flush()
    assert [[0, 1, 2, 5], [6], [7]] == processes[0].batches
    assert [(0, 0), (1, 1), (2, 2), (5, 5), (6, 3), (7, 6)] == numbers(run)
    assert [0.0, 0.5, 1.0, 2.5, 1.5, 3.0] == [row["loss"] for row in run.rows]
    ledger = writer._ledger
    assert (0, 6, 1, 6) == (writer.unconfirmed, ledger.rows, ledger.late_rows, ledger.log_calls)
    assert asked == run.asked


def test_what_cannot_cross_is_written_here_in_its_turn(writer, run, processes):
    """W&B is asked once afterwards, before the process goes on: it reads two connections."""
    asked = run.asked
    take(writer, 0, 1)
    take(writer, 2, array=numpy.arange(2))
    take(writer, 3, 4)
    assert writer.flush()
    assert [[0, 1], [3, 4]] == processes[0].batches
    assert [(step, step) for step in range(5)] == numbers(run)
    assert asked + 1 == run.asked
    take(writer, 5)
    assert writer.flush()
    assert asked + 1 == run.asked


def test_until_the_process_is_ready_rows_are_written_here(writer, run, processes):
    """Nobody waits for it."""
    processes[0].is_up = False
    take(writer, 0, 1)
    assert writer.flush()
    processes[0].is_up = True
    take(writer, 2)
    assert writer.flush()
    assert [[2]] == processes[0].batches
    assert [(0, 0), (1, 1), (2, 2)] == numbers(run)


def test_a_process_is_started_once(writer, processes, monkeypatch, caplog):
    """Also where it could not be, which is said."""
    writer.start_process()
    assert 1 == len(processes)
    other = RunWriter(WatchedRun(), "global_step", Ledger())
    tried = []

    def fail(run):
        tried.append(run)
        raise WriterProcessError("it cannot be started")

    monkeypatch.setattr(outbox, "WriterProcess", fail)
    other.start_process()
    other.start_process()
    assert 1 == len(tried)
    assert "it cannot be started; a thread writes the rows" in caplog.text
    take(other, 0)
    assert other.flush()
    other.close()


def test_a_run_that_numbers_its_rows_itself_has_no_process(run, processes):
    """The rows of two connections may come in any order there."""
    run.settings.mode = "shared"
    writer = RunWriter(run, "global_step", Ledger())
    writer.start_process()
    writer.close()
    assert [] == processes


def test_a_process_that_cannot_attach_is_said_and_done_without(writer, run, processes, caplog):
    """It is let go of."""
    processes[0].error = WriterProcessError("it was refused")
    take(writer, 0, 1)
    assert writer.flush()
    assert [(0, 0), (1, 1)] == numbers(run)
    assert ["closed"] == processes[0].ends
    assert 1 == caplog.text.count("it was refused; a thread writes the rows")


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("takes", [0, 1, 3])
def test_a_process_that_ends_in_the_middle_costs_no_row_and_writes_none_twice(
    writer, run, processes, caplog, takes, before
):
    """What W&B reads after its end counts: the thread waits for that, and goes on where it stops."""
    take(writer, *range(before))
    assert writer.flush()
    processes[0].takes = takes
    take(writer, *range(before, 5))
    assert writer.flush()
    assert [] == processes[0].under_way
    assert [(step, step) for step in range(5)] == numbers(run)
    assert (0, 5, 5) == (writer.unconfirmed, writer._ledger.rows, writer._ledger.log_calls)
    assert ["closed"] == processes[0].ends
    assert 1 == caplog.text.count("it has ended; a thread writes the rows")


def test_a_flush_can_be_stopped_after_each_batch(writer, run):
    """What is left is written by the next one."""
    take(writer, 0, 1)
    take(writer, 2, array=numpy.arange(2))
    assert not writer.flush(lambda: False)
    assert [0, 1] == [step for step, _ in numbers(run)]
    assert writer.flush()


def test_rows_are_told_before_they_are_sent_and_once(writer, run):
    """Again under the numbers that they have in the end, where a foreign call came in between."""
    told = []
    writer.before_commit = lambda rows, since: told.append(([step for _, step in rows], since))
    take(writer, 0, 1)
    writer.tell()
    assert writer.flush()
    assert [([0, 1], None)] == told
    take(writer, 2, 3)
    writer.tell()
    run.log({"foreign": 1})
    assert writer.flush()
    assert [([2, 3], None), ([3, 4], 2)] == told[1:]
    assert [(0, 0), (1, 1), (2, None), (3, 2), (4, 3)] == numbers(run)
    assert 1 == writer._ledger.foreign_steps


def test_a_row_that_was_sent_has_sealed_what_a_foreign_call_left_open(writer, run, processes):
    """None is in the making any more, so that no number is left out for it."""
    run.log({"foreign": 1}, step=3)
    for step in (3, 4):
        writer.begin()
        take(writer, step)
        assert writer.flush()
    assert [[4], [5]] == processes[0].batches


def test_where_a_forked_child_writes_too_the_process_is_let_go_of(writer, run, processes, monkeypatch):
    """No step is given then."""
    monkeypatch.setattr(Traffic, "is_joined", True)
    take(writer, 7, 8)
    assert writer.flush()
    assert [(0, 7), (1, 8)] == numbers(run)
    assert (["closed"], []) == (processes[0].ends, processes[0].batches)


def test_a_process_ends_with_its_writer_and_is_the_parents_in_a_forked_child(run, processes):
    """Either once; it takes no rows then."""
    for end, what in ((RunWriter.close, "closed"), (RunWriter.after_fork, "left to the parent")):
        writer = RunWriter(run, "global_step", Ledger())
        end(writer)
        writer.start_process()
        for _ in range(2):
            end(writer)
        assert [what] == processes[-1].ends
        take(writer, 0)
        assert writer.flush()
        assert [] == processes[-1].batches
        writer.close()
