"""A program that is killed and started again on its journal: what was flushed is in the run, once."""

import os
import time
from pathlib import Path

import pytest
from wandb_double import WandbDouble

from otel_wandb_bridge.testing import read_rows

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills of POSIX")

TRAINING = """
import signal
from otel_wandb_bridge import step_views

run = wandb.init(id="abc")
exporter = WandbMetricExporter(run, journal="tail.journal", hold=3600)
reader = PeriodicExportingMetricReader(exporter, export_interval_millis=NEVER)
provider = MeterProvider([reader], views=step_views())
loss = provider.get_meter("trainer").create_gauge("loss")
tokens = provider.get_meter("trainer").create_counter("tokens")
latency = provider.get_meter("trainer").create_histogram("latency")
accuracy = provider.get_meter("evaluator").create_gauge("accuracy")


def train(steps):
    for step in steps:
        loss.set(step / 2, {"step": step})
        tokens.add(10, {"step": step})
        latency.record(step, {"step": step})
        if step >= 8:
            accuracy.set(step / 100, {"step": step - 8})
        if step % 10 == 9:
            reader.collect()


"""


def rows_of_all(directory):
    """The rows of every part of the run, in the order of their beginning."""
    files = sorted((directory / "wandb").glob("offline-run-*/run-abc.wandb"))
    return [read_rows(file) for file in files]


@pytest.mark.parametrize(
    ("end", "lives", "written"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", ["range(150)", "range(150, 250)"], 142),
        ("os._exit(9)", ["range(250)"], 242),
    ],
)
def test_what_was_flushed_before_a_kill_is_in_the_run_once_after_a_restart(
    run_script, another_second, tmp_path, end, lives, written
):
    """Rows that W&B had not stored and steps that waited for the evaluator are not lost; totals go on."""
    for steps in lives:
        outcome = run_script(
            TRAINING + f"train({steps}); report(pending=exporter.stats().pending); sys.stdout.flush(); {end}"
        )
        assert outcome.code in (9, -9)
        assert outcome.reports[0]["pending"] > 0
        another_second()
    last = run_script(
        TRAINING
        + """
train(range(250, 300))
run.finish()
stats = exporter.stats()
report(conserved=stats.is_conserved(), restored=stats.restored > 0, lost=stats.pending + stats.shed)
"""
    )
    assert (0, "") == (last.code, last.err)
    assert [{"conserved": True, "restored": True, "lost": 0}] == last.reports
    parts = rows_of_all(tmp_path)
    assert len(lives) + 1 == len(parts)
    assert len(parts[0]) < written, "W&B had stored all rows that were written: this shows nothing"
    rows = [row for part in parts for row in part]
    assert list(range(300)) == [row["global_step"] for row in rows]
    assert list(range(300)) == [row["_step"] for row in rows]
    assert [step / 2 for step in range(300)] == [row["loss"] for row in rows]
    assert [10 * (step + 1) for step in range(300)] == [row["tokens"] for row in rows]
    assert [1] * 300 == [row["latency/count"] for row in rows]
    assert [(step + 8) / 100 for step in range(292)] == [row["accuracy"] for row in rows[:292]]


def test_a_kill_between_the_parts_of_a_batch_loses_none_of_them(run_script, another_second, tmp_path):
    """Some rows cross to the writer process, one stays, and the rest has left what waits already."""
    script = """
import signal
from otel_wandb_bridge.exporter import exporter_of
from otel_wandb_bridge.write.writer_process import WriterProcess

run = wandb.init(id="abc")
bridge = configure(run, journal="tail.journal", writer="process", export_interval_millis=NEVER)
"""
    first = """
bridge.log({"loss": 0.0}, step=0)
bridge.force_flush()
exporter_of(run)._pipeline.target.writer()._outbox._process.is_ready(wait=True)
for step in range(1, 100):
    page = {"page": wandb.Html(str(step))} if step == 10 else {}
    bridge.log({"loss": step / 2, **page}, step=step)
write = WriterProcess.write


def killed(process, rows):
    write(process, rows)
    os.kill(os.getpid(), signal.SIGKILL)


WriterProcess.write = killed
bridge.force_flush()
"""
    assert -9 == run_script(script + first).code
    another_second()
    run_script(script + "run.finish()").ended_well()
    rows = [row for part in rows_of_all(tmp_path) for row in part]
    assert [step / 2 for step in range(100)] == [row["loss"] for row in rows]


def test_a_script_full_of_wandb_log_goes_on_where_it_was_killed(run_script, another_second, tmp_path):
    """Calls without a step count on from what was flushed, though W&B's own count begins anew offline.

    However much of it W&B had stored: of 50 small rows that is all or nothing, as it happens.
    """
    script = """
import signal
from otel_wandb_bridge.wandb_step_fix import finalize_wandb_logging, patch_wandb_log

patch_wandb_log(journal="tail.journal")
run = wandb.init(id="abc")
for number in range(FIRST, FIRST + 50):
    wandb.log({"loss": number / 2})
finalize_wandb_logging()
"""
    killed = run_script(script.replace("FIRST", "0") + "os.kill(os.getpid(), signal.SIGKILL)")
    assert -9 == killed.code
    another_second()
    run_script(script.replace("FIRST", "50") + "run.finish()").ended_well()
    rows = [row for part in rows_of_all(tmp_path) for row in part]
    assert list(range(100)) == [row["_step"] for row in rows]
    assert [number / 2 for number in range(100)] == [row["loss"] for row in rows]


ONLINE = """
import signal, subprocess
run = wandb.init(project="demo", id="abc", resume="allow")
bridge = configure(run, export_interval_millis=NEVER, journal="tail.journal")


def train(steps):
    for step in steps:
        bridge.log({"loss": step / 2, "much": "x" * 100}, step=step)
    bridge.force_flush()


def kill():
    command = ["ps", "-o", "pid,args", "--ppid", str(os.getpid())]
    found = subprocess.run(command, capture_output=True, text=True).stdout
    report(services=[int(line.split()[0]) for line in found.splitlines() if "wandb-c" in line])
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


"""


def test_online_the_server_has_each_step_once(run_script):
    """W&B says which rows it has; the journal has the rest."""
    with WandbDouble() as server:
        killed = run_script(ONLINE + "train(range(300)); kill()", variables=server.environment)
        assert -9 == killed.code
        for service in killed.reports[0]["services"]:
            wait_until_gone(service)
        before = len(server.runs["abc"].rows) if "abc" in server.runs else 0
        run_script(ONLINE + "train(range(300, 320)); run.finish()", variables=server.environment).ended_well()
        stored = server.runs["abc"]
        assert before < 300, "W&B had uploaded all rows: this shows nothing"
        assert {step: step / 2 for step in range(320)} == stored.series("loss")
        assert list(range(320)) == [row["_step"] for row in stored.rows]


def wait_until_gone(pid):
    """Until a process that is not ours has ended."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except OSError:
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} does not end")


def test_a_full_disk_takes_the_journal_and_nothing_else(run_script, small_disk):
    """One line, counted; every row is in the run."""
    outcome = run_script(
        f"""
run = wandb.init(id="abc")
bridge = configure(run, export_interval_millis=NEVER, journal={str(small_disk / "tail.journal")!r})
for step in range(1_000):
    bridge.log({{"much": "x" * 10_000}}, step=step, source="trainer")
    if step % 10 == 9:
        bridge.force_flush()
run.finish()
stats = bridge.stats()
report(conserved=stats.is_conserved(), pending=stats.pending, errors=stats.journal_errors > 0)
"""
    )
    assert 0 == outcome.code
    assert [{"conserved": True, "pending": 0, "errors": True}] == outcome.reports
    assert list(range(1_000)) == outcome.run.steps()
    (said,) = outcome.err.splitlines()
    assert "it cannot be written" in said
    assert "full" in said
