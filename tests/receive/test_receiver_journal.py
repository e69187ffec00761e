"""What was acknowledged is written, and nothing twice, whenever the process ended."""

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from otlp_sender import NOW, SECOND, gauge_of, post, request_of, series

from otel_wandb_bridge import OtlpReceiver
from otel_wandb_bridge.journal.resumed import Resumed
from otel_wandb_bridge.receive.body import Refused
from otel_wandb_bridge.receive.committed import Committed
from otel_wandb_bridge.receive.journal import Commit, Journal
from otel_wandb_bridge.testing import FakeRun


def export(number, *steps, instance="a"):
    """The export number n of a process, with these steps."""
    time = NOW + number * SECOND
    return request_of(
        gauge_of(f"loss.{instance}", {step: step / 4 for step in steps}, time=time), instance=instance
    )


def accept(receiver, *requests):
    """What the servers do with requests."""
    for request in requests:
        receiver._accept(request, request.SerializeToString())


class Killed:
    """A receiver that is left as a SIGKILL leaves it: nothing is flushed, the file is let go of."""

    def __init__(self, path, run, **options):
        self.run = run
        self.receiver = OtlpReceiver(run, port=0, journal=path, **{"reorder": 0.0, **options})

    def __enter__(self):
        self.receiver.start()
        return self.receiver

    def __exit__(self, *_):
        receiver = self.receiver
        receiver._server.stop()
        receiver._inlet._is_closing = True
        intake = receiver._inlet._intake
        intake._take = intake._settle = lambda _: None
        intake.stop()
        with receiver.exporter._lock.held():
            receiver.exporter._pipeline.memory = None
            receiver._inlet._journal.abandon()
            receiver._inlet._journal._connection.execute("PRAGMA wal_checkpoint")
            receiver._inlet._journal._connection.close()
            receiver.exporter._pipeline.finish_run()


def resumed(run, has):
    """The run as W&B resumes it, where it has the first rows alone."""
    rows = run.rows[:has]
    return FakeRun(id=run.id, starting_step=rows[-1]["_step"] + 1 if rows else 0), rows


def settle(receiver):
    """Until everything that was accepted is in the pipeline, and what is due is written."""
    receiver._inlet.drain()


@pytest.mark.parametrize("has", [0, 1, 3, 7])
def test_what_the_run_does_not_have_is_written_again(tmp_path, has):
    """W&B kept a prefix of the rows; whatever it lost of them comes out of the journal, and nothing twice."""
    path = tmp_path / "journal"
    with Killed(path, FakeRun()) as receiver:
        accept(receiver, export(0, 0, 1, 2), export(1, 3, 4, 5), export(2, 6, 7, 8, 9))
        settle(receiver)
    first = receiver.exporter  # noqa: F841  it is not collected before the second is made
    run, rows = resumed(receiver._run, has)
    assert 9 == len(receiver._run.rows)  # step 9 was open yet
    with OtlpReceiver(run, port=0, journal=path) as second:
        accept(second, export(3, 10))
        second.force_flush()
        assert second.stats().is_conserved()
    assert list(range(11)) == [row["global_step"] for row in (*rows, *run.rows)]
    assert [] == run.dropped


def test_a_request_that_comes_again_after_the_restart_changes_nothing(tmp_path):
    """Its sender did not get the answer."""
    path = tmp_path / "journal"
    with Killed(path, FakeRun()) as receiver:
        accept(receiver, export(0, 0, 1, 2))
        settle(receiver)
    run, rows = resumed(receiver._run, 1)
    with OtlpReceiver(run, port=0, journal=path) as second:
        accept(second, export(0, 0, 1, 2), export(1, 3))
    assert [0, 1, 2, 3] == [row["global_step"] for row in (*rows, *run.rows)]


def test_a_late_sample_is_written_once(tmp_path):
    """As a row of its own, before the kill or after it."""
    for has in (5, 6):
        path = tmp_path / f"journal{has}"
        with Killed(path, FakeRun()) as receiver:
            accept(receiver, export(0, 0, 1, 2, 3, 4, 5))
            settle(receiver)
            accept(receiver, export(1, 2, instance="late"))
            settle(receiver)
        assert [0, 1, 2, 3, 4, 2] == [row["global_step"] for row in receiver._run.rows]
        run, rows = resumed(receiver._run, has)
        with OtlpReceiver(run, port=0, journal=path):
            pass
        steps = [row["global_step"] for row in (*rows, *run.rows)]
        assert [0, 1, 2, 2, 3, 4, 5] == sorted(steps)


def test_what_was_killed_twice_is_written_once(tmp_path):
    """The second process had written some of what the first one left."""
    path = tmp_path / "journal"
    with Killed(path, FakeRun()) as receiver:
        accept(receiver, export(0, *range(10)))
        settle(receiver)
    run, rows = resumed(receiver._run, 4)
    with Killed(path, run) as receiver:
        accept(receiver, export(1, 10, 11, 12))
        settle(receiver)
    last, more = resumed(run, 3)
    with OtlpReceiver(last, port=0, journal=path):
        pass
    assert list(range(13)) == [row["global_step"] for row in (*rows, *more, *last.rows)]


def test_a_journal_of_another_run_is_not_written_into_this_one(tmp_path):
    """It names the run, and what to do; one whose run was written to the end is used again."""
    path = tmp_path / "journal"
    with Killed(path, FakeRun(id="first")) as receiver:
        accept(receiver, export(0, 0, 1))
        settle(receiver)
    with pytest.raises(ValueError, match=r"'first'.*wandb.init\(id='first', resume='allow'\)"):
        OtlpReceiver(FakeRun(id="second"), port=0, journal=path).start()
    with OtlpReceiver(FakeRun(id="first", starting_step=1), port=0, journal=path):
        pass
    run = FakeRun(id="second")
    with OtlpReceiver(run, port=0, journal=path) as receiver:
        accept(receiver, export(0, 0, 1))
    assert [0, 1] == [row["global_step"] for row in run.rows]


def test_an_offline_run_goes_on_behind_the_rows_of_its_earlier_files(tmp_path, monkeypatch):
    """For W&B it begins at 0 again: what is below is late, and no row has the number of an earlier one."""
    monkeypatch.setattr("otel_wandb_bridge.receive.memory.resumed", lambda *_: Resumed(7))
    run = FakeRun()
    with OtlpReceiver(run, port=0, journal=tmp_path / "journal", reorder=0.0) as receiver:
        accept(receiver, export(0, 2, 7, 8))
        receiver.force_flush()
        assert 1 == receiver.stats().late
    assert [(7, 2), (8, 7), (9, 8)] == sorted((row["_step"], row["global_step"]) for row in run.rows)


def test_a_journal_is_used_by_one_receiver_at_a_time(tmp_path):
    """The second one says so at its start."""
    with (
        OtlpReceiver(FakeRun(), port=0, journal=tmp_path / "journal"),
        pytest.raises(ValueError, match="one receiver at a time"),
    ):
        OtlpReceiver(FakeRun(), port=0, journal=tmp_path / "journal").start()


def test_what_is_no_journal_is_left_alone(tmp_path):
    """With an error that names it."""
    path = tmp_path / "notes.txt"
    path.write_text("precious " * 1_000)
    with pytest.raises(ValueError, match=r"notes\.txt cannot be used"):
        OtlpReceiver(FakeRun(), port=0, journal=path).start()
    assert path.read_text() == "precious " * 1_000


def test_a_journal_needs_a_run(tmp_path):
    """It belongs to it."""
    with pytest.raises(ValueError, match=r"wandb\.init"):
        OtlpReceiver(port=0, journal=tmp_path / "journal").start()


def test_a_full_journal_refuses_and_makes_room(tmp_path, run):
    """503 while what it holds is not written; what is written goes first."""
    options = {"journal": tmp_path / "journal", "max_journal_bytes": 3_000, "reorder": 0.0}
    with OtlpReceiver(run, port=0, **options) as receiver:
        statuses = [post(receiver, export(number, number)).status for number in range(100)]
        while 200 != (answer := post(receiver, export(100, 100))).status:
            assert "retry-after" in answer.headers
        assert receiver.counts()["journal_bytes"] <= 3_000
        receiver.force_flush()
        assert receiver.stats().is_conserved()
    accepted = [step for step, status in enumerate(statuses) if status == 200]
    assert [*accepted, 100] == [row["global_step"] for row in run.rows]


@pytest.mark.parametrize("has", [0, 30, 35])
def test_what_neither_the_run_nor_the_journal_has_is_said(tmp_path, monkeypatch, caplog, has):
    """W&B was further behind than requests are kept: the rows are in its own file alone."""
    monkeypatch.setattr("otel_wandb_bridge.receive.memory.SAFE_ROWS", 5)
    path = tmp_path / "journal"
    with Killed(path, FakeRun(), max_journal_bytes=16 * 500) as receiver:
        for number in range(40):
            accept(receiver, export(number, number))
            settle(receiver)
    run, rows = resumed(receiver._run, has)
    with OtlpReceiver(run, port=0, journal=path):
        pass
    steps = [row["global_step"] for row in (*rows, *run.rows)]
    said = [message for message in caplog.messages if "wandb sync" in message]
    if has == 35:
        assert (list(range(40)), []) == (steps, said)
    else:
        missing = sorted({*range(40)} - {*steps})
        assert [f"from {missing[0]} to {missing[-1]} " in message for message in said] == [True]


def test_a_row_that_cannot_be_noted_waits(tmp_path, run, monkeypatch):
    """A full disk: rows are written once they are noted."""
    with OtlpReceiver(run, port=0, journal=tmp_path / "journal", reorder=0.0) as receiver:
        journal = receiver._inlet._journal
        note = journal.note

        def broken(*_):
            raise sqlite3.OperationalError("disk is full")

        monkeypatch.setattr(journal, "note", broken)
        accept(receiver, export(0, 0, 1, 2))
        assert not receiver.force_flush()
        assert [] == run.rows
        monkeypatch.setattr(journal, "append", broken)
        with pytest.raises(Refused, match="disk is full"):
            accept(receiver, export(1, 3))
        monkeypatch.setattr(journal, "note", note)
    assert {0: 0.0, 1: 0.25, 2: 0.5} == series(run, "loss/a")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_sample_is_in_a_row_exactly_if_it_was_there_when_the_row_was_made(data):
    """The summary that `Committed` keeps answers as the rows themselves would."""
    waiting: set[tuple[int, int]] = set()
    written: set[tuple[int, int]] = set()
    everything: set[tuple[int, int]] = set()
    committed = Committed()
    top, wandb_step = -1, 0
    for release in range(1, data.draw(st.integers(1, 8))):
        new = {(release, step) for step in data.draw(st.sets(st.integers(0, 12), max_size=5))}
        waiting |= new
        everything |= new
        rows = sorted({step for _, step in waiting if step <= top})
        if waiting:
            highest = data.draw(st.integers(-1, max(step for _, step in waiting)))
            rows += sorted({step for _, step in waiting if top < step <= highest})
        for step in rows[: data.draw(st.integers(0, len(rows)))]:
            wandb_step += 1
            committed.add(Commit(wandb_step, 1, step, step <= top, release))
            top = max(top, step)
            held = {each for each in waiting if each[1] == step}
            written |= held
            waiting -= held
    assert {each: each in written for each in everything} == {
        each: committed.has(*each) for each in everything
    }


def test_requests_come_back_in_their_order(tmp_path):
    """Also after others are gone."""
    journal = Journal(tmp_path / "journal", 1_000)
    numbers = [journal.append(b"%d" % number) for number in range(5)]
    journal.prune(numbers[:2], 1)
    journal.close()
    again = Journal(tmp_path / "journal", 1_000)
    assert [b"2", b"3", b"4"] == [body for _, body in again.requests()]
    assert 3 == again.bytes
    assert again.append(b"5") > numbers[-1]
    again.close()
