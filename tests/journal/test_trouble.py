"""What a journal cannot do is said in one line and counted; the training goes on."""

import logging
import sqlite3
import subprocess
import sys

import pytest

from otel_wandb_bridge import OtlpReceiver, WandbMetricExporter, configure
from otel_wandb_bridge.journal.tail_file import TailFile
from otel_wandb_bridge.receive.journal import Journal
from otel_wandb_bridge.testing import FakeRun
from otel_wandb_bridge.wandb_step_fix.route import _new_exporter
from otel_wandb_bridge.wandb_step_fix.settings import Settings


def train(bridge, steps):
    """Some steps, flushed."""
    for step in steps:
        bridge.log({"loss": step}, step)
    bridge.flush()


def test_a_second_process_on_a_journal_is_refused(tmp_path):
    """At once, by name; where it is let go of, the next may have it."""
    path = tmp_path / "tail.journal"
    with configure(FakeRun(), set_global=False, journal=path):
        source = (
            "from otel_wandb_bridge import WandbMetricExporter\n"
            "from otel_wandb_bridge.testing import FakeRun\n"
            f"WandbMetricExporter(FakeRun(), journal={str(path)!r})"
        )
        ended = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
        assert 1 == ended.returncode
        assert "tail.journal cannot be used: database is locked" in ended.stderr.splitlines()[-1]
        assert "one process at a time" in ended.stderr.splitlines()[-1]
        run = FakeRun(id="other")
        with pytest.raises(ValueError, match="one process at a time"):
            WandbMetricExporter(run, journal=path)
        WandbMetricExporter(run, journal=tmp_path / "another").shutdown()
    WandbMetricExporter(FakeRun(), journal=path).shutdown()


def test_a_place_that_is_none_is_refused(tmp_path):
    """When the bridge is made."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be used"):
        WandbMetricExporter(FakeRun(), journal=tmp_path / "file" / "tail")
    with pytest.raises(ValueError, match="cannot be used"):
        WandbMetricExporter(FakeRun(), journal=tmp_path)


@pytest.mark.parametrize("kind", ["text", "later", "damaged", "a receiver's", "nonsense"])
def test_a_file_that_cannot_be_read_is_set_aside(killed, tmp_path, caplog, kind):
    """Said in one line; a new one is begun, and the run written."""
    path = tmp_path / "tail.journal"
    if kind == "text":
        path.write_text("dear diary, " * 1000)
    elif kind == "a receiver's":
        Journal(path, 100).close()
    else:
        with killed() as bridge:
            train(bridge, range(50))
        with sqlite3.connect(path) as connection:
            if kind == "later":
                connection.execute("PRAGMA user_version = 99")
            elif kind == "nonsense":
                connection.execute("UPDATE rows SET body = '[1, 2'")
        connection.close()
        if kind == "damaged":
            content = bytearray(path.read_bytes())
            content[4096:] = b"\xff" * len(content[4096:])
            path.write_bytes(content)
    caplog.clear()
    with killed(FakeRun()) as bridge:
        train(bridge, range(10))
        bridge.exporter.flush_everything(1000)
        assert bridge.exporter.stats().is_conserved()
        assert 0 == bridge.exporter.stats().journal_errors
    assert list(range(10)) == [row["global_step"] for row in bridge.run.rows]
    (said,) = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert "tail.journal.unusable" in said
    assert (tmp_path / "tail.journal.unusable").exists()
    file = TailFile(path)
    assert 10 == len(file.rows())
    file.close()


def test_what_another_run_lacks_is_kept_for_it(killed, tmp_path, caplog):
    """A new run begins a journal of its own; the other goes on with the one that was set aside."""
    with killed() as bridge:
        train(bridge, range(20))
    lacking, rows = bridge.run, bridge.run.rows[:3]
    with killed(FakeRun(id="new")) as bridge:
        train(bridge, range(2))
        bridge.exporter.flush_everything(1000)
    assert [0, 1] == [row["global_step"] for row in bridge.run.rows]
    assert "not yet in run 'fake'" in caplog.text
    (tmp_path / "tail.journal").unlink()
    (tmp_path / "tail.journal.fake").rename(tmp_path / "tail.journal")
    with killed(FakeRun(starting_step=3)) as bridge:
        bridge.exporter.flush_everything(1000)
    assert list(range(20)) == [row["global_step"] for row in (*rows, *bridge.run.rows)]
    assert 19 == len(lacking.rows)


def test_a_run_that_ended_well_leaves_nothing(killed, tmp_path, caplog):
    """Another run takes the journal over, without a word; the same id begun anew, too."""
    for name in ("fake", "fake", "new"):
        exporter = WandbMetricExporter(run := FakeRun(id=name), journal=tmp_path / "tail.journal")
        lane = exporter.open_lane()
        for step in range(5):
            lane.log({"loss": step}, step, None, None)
        exporter.shutdown()
        assert list(range(5)) == [row["_step"] for row in run.rows]
        assert (0, 0) == (exporter.stats().restored, exporter.stats().late)
    assert "" == caplog.text
    assert [tmp_path / "tail.journal"] == list(tmp_path.iterdir())


def test_media_are_counted_and_named(killed, caplog):
    """They are in the run, and not in the journal; the rest of their rows is."""
    with killed() as bridge:
        for step in range(5):
            bridge.log({"loss": step, "image": object()}, step)
            bridge.run.log = _taking_anything(bridge.run.log)
        bridge.flush()
        assert 4 == bridge.exporter.stats().unjournaled
    assert 1 == caplog.text.count("'image'")
    with killed(FakeRun()) as bridge:
        bridge.exporter.flush_everything(1000)
    assert list(range(5)) == [row["loss"] for row in bridge.run.rows]


def _taking_anything(log):
    def taking(data, **more):
        log({key: value for key, value in data.items() if key != "image"}, **more)

    return taking


def test_a_journal_that_cannot_be_written_any_more_does_not_disturb(killed, tmp_path, caplog):
    """It is deleted, lest it says what is not true any more, and begun anew where that can be had."""
    with killed() as bridge:
        train(bridge, range(5))
        tail = bridge.exporter._pipeline._journaling._tail
        tail._file.note = _failing
        train(bridge, range(5, 10))
        assert 1 == bridge.exporter.stats().journal_errors
        train(bridge, range(10, 15))
        bridge.exporter.flush_everything(1000)
        assert bridge.exporter.stats().is_conserved()
    assert list(range(15)) == [row["global_step"] for row in bridge.run.rows]
    assert 1 == caplog.text.count("database or disk is full")
    run = FakeRun(starting_step=12)
    with killed(run) as bridge:
        bridge.exporter.flush_everything(1000)
    assert [12, 13, 14] == [row["global_step"] for row in run.rows]


def _failing(*_, **__):
    raise sqlite3.OperationalError("database or disk is full")


def test_a_run_has_one_journal(tmp_path):
    """The receiver's or the bridge's."""
    receiver = OtlpReceiver(port=0, journal=tmp_path / "receiver.journal")
    with pytest.raises(ValueError, match="one journal"):
        configure(FakeRun(), set_global=False, receiver=receiver, journal=tmp_path / "tail.journal")


def test_a_run_whose_rows_wandb_numbers_has_none(killed, tmp_path, caplog):
    """It is said, and the run written."""
    run = FakeRun()
    run.settings.mode = "shared"
    exporter = WandbMetricExporter(run, journal=tmp_path / "tail.journal")
    exporter.open_lane().log({"loss": 1}, 1, None, None)
    exporter.flush_everything(1000)
    exporter.shutdown()
    assert [1] == [row["global_step"] for row in run.rows]
    assert 'mode="shared"' in caplog.text


def test_it_ends_where_wandb_begins_to_number_the_rows(killed, tmp_path, caplog, monkeypatch):
    """Forked children log to the run: what the journal says of steps would not be true any more."""
    with killed() as bridge:
        train(bridge, range(5))
        monkeypatch.setattr("otel_wandb_bridge.write.traffic.Traffic.is_joined", True)
        train(bridge, range(5, 10))
        assert not (tmp_path / "tail.journal").exists()
        bridge.exporter.flush_everything(1000)
        assert bridge.exporter.stats().is_conserved()
    assert list(range(10)) == [row["global_step"] for row in bridge.run.rows]
    assert 1 == caplog.text.count("it ends here")


def test_no_more_rows_are_kept_than_needed(killed, tmp_path, monkeypatch):
    """W&B's service holds a bounded part of the file back."""
    monkeypatch.setattr("otel_wandb_bridge.journal.tail.SAFE_ROWS", 30)
    with killed() as bridge:
        for start in range(0, 200, 20):
            train(bridge, range(start, start + 20))
    file = TailFile(tmp_path / "tail.journal")
    assert list(range(169, 199)) == [step for step, _ in file.rows()]
    file.close()


def test_rows_that_are_large_are_forgotten_earlier(killed, tmp_path, monkeypatch, caplog):
    """And it is said, once."""
    monkeypatch.setattr("otel_wandb_bridge.journal.tail.MAX_BYTES", 10_000)
    with killed() as bridge:
        for step in range(100):
            bridge.log({"note": "x" * 1000}, step)
            bridge.flush()
    file = TailFile(tmp_path / "tail.journal")
    assert 9 == len(file.rows())
    file.close()
    assert 1 == caplog.text.count("forgotten early")


def test_without_the_option_nothing_of_it_is_imported():
    """SQLite and the readers of `.wandb` files are not for everybody."""
    source = (
        "import sys\n"
        "from otel_wandb_bridge import configure\n"
        "from otel_wandb_bridge.testing.fake_run import FakeRun\n"
        "bridge = configure(FakeRun(), set_global=False)\n"
        "bridge.log({'loss': 1}, step=1)\n"
        "bridge.shutdown()\n"
        "print([name for name in sys.modules if name.startswith('otel_wandb_bridge.journal.')])"
    )
    ended = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert "[]" == ended.stdout.strip(), ended.stderr


def test_the_drop_in_does_without_a_journal_that_another_has(tmp_path, caplog):
    """Said as an error; the calls of `wandb.log` go through the bridge all the same."""
    path = tmp_path / "tail.journal"
    holder = TailFile(path)
    exporter = _new_exporter(FakeRun(), Settings(100, 2.0, {"journal": path}))
    assert "" == exporter.options.journal
    assert "one process at a time" in caplog.text
    exporter.shutdown()
    holder.close()
