"""Rows that a process of its own writes: the same rows, in the same order, whatever becomes of it."""

import os

import pytest

HELPERS = """
import signal

from otel_wandb_bridge.exporter import exporter_of


def outbox(run):
    return exporter_of(run)._pipeline.target.writer()._outbox


def wait_for_process(run, bridge):
    bridge.log({"first": 1}, step=0, source="trainer")
    bridge.force_flush()
    outbox(run)._process.is_ready(wait=True)
    return outbox(run)._process._process.pid


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
"""


@pytest.fixture
def run_helped(run_script):
    """Run a script that can look at the writer process."""
    return lambda source, **more: run_script(HELPERS + source, **more)


def test_what_stays_here_is_not_overtaken_by_what_crosses(run_helped):
    """W&B reads two connections, and would drop the row whose step is the lower one by then."""
    outcome = run_helped(
        """
import numpy

run = wandb.init()
bridge = configure(run, export_interval_millis=NEVER, writer="process")
wait_for_process(run, bridge)
for step in range(1, 2_000):
    array = {"array": numpy.arange(3)} if step % 7 == 0 else {}
    bridge.log({"loss": step / 2, **array}, step=step, source="trainer")
bridge.force_flush()
run.finish()
report(rows=bridge.stats().rows)
"""
    ).ended_well()
    assert {step: step / 2 for step in range(1, 2_000)} == outcome.run.series("loss")
    assert [{"rows": 2_000}] == outcome.reports
    assert "ignoring partial history record" not in outcome.run.service_log


def test_the_rows_are_those_that_a_thread_would_write(run_helped):
    """Plain values, histograms, media in between, late rows, values without a step: all in order."""
    outcome = run_helped(
        """
run = wandb.init()
bridge = configure(run, export_interval_millis=NEVER, writer="process", hold=0)
size = metrics.get_meter("trainer").create_histogram("size")
pid = wait_for_process(run, bridge)
for step in range(1, 900):
    values = {"loss": step / 2, "note": f"ä {step}", "odd": {"nan": float("nan")}}
    bridge.log(values, step=step, source="trainer")
    size.record(step, {"step": step, "source": "trainer"})
    if step % 300 == 0:
        bridge.log({"page": wandb.Html(f"<p>{step}</p>")}, step=step, source="trainer")
        bridge.force_flush()
bridge.log({"late": 1}, step=5, source="straggler")
run.finish()
stats = bridge.stats()
report(conserved=stats.is_conserved(), pending=stats.pending, rows=stats.rows, calls=stats.log_calls,
       alive=is_alive(pid))
"""
    ).ended_well()
    run = outcome.run
    late = [row for row in run.rows if "late" in row]
    in_order = [row for row in run.rows if "late" not in row]
    assert list(range(900)) == [row["global_step"] for row in in_order]
    assert list(range(901)) == [row["_step"] for row in run.rows]
    assert [5] == [row["global_step"] for row in late]
    assert {step: step / 2 for step in range(1, 900)} == run.series("loss")
    assert {step: f"ä {step}" for step in range(1, 900)} == run.series("note")
    assert dict.fromkeys(range(1, 900), 1) == run.series("size/count")
    assert {"histogram"} == {row["size"]["_type"] for row in in_order[1:]}
    assert [300, 600] == [row["global_step"] for row in in_order if "page" in row][:2]
    assert 899 / 2 == run.summary["loss"]
    assert [{"conserved": True, "pending": 0, "rows": 901, "calls": 901, "alive": False}] == outcome.reports
    assert "ignoring partial history record" not in run.service_log


@pytest.mark.parametrize(
    "step", [pytest.param(1, marks=pytest.mark.long), 250, pytest.param(1_100, marks=pytest.mark.long)]
)
def test_a_process_that_is_killed_in_the_middle_of_a_batch_costs_no_row(run_helped, step):
    """Nor is one written twice: a thread goes on where it stopped."""
    outcome = run_helped(
        f"""
run = wandb.init()
bridge = configure(run, export_interval_millis=NEVER, writer="process")
pid = wait_for_process(run, bridge)
for step in range(1, 2_000):
    bridge.log({{"loss": step / 2}}, step=step, source="trainer")
process = outbox(run)._process
answer, batches = process._answer, iter(range(1, 11))


def kill_and_answer():
    if next(batches) * 200 > {step}:  # the batch that the step is in
        wait_until(lambda: run.step > {step})
        os.kill(pid, signal.SIGKILL)
    return answer()


process._answer = kill_and_answer
bridge.force_flush()
bridge.log({{"loss": 1_000.0}}, step=2_000, source="trainer")
run.finish()
stats = bridge.stats()
report(conserved=stats.is_conserved(), written=stats.written, rows=stats.rows)
"""
    )
    assert 0 == outcome.code
    assert 1 == outcome.err.count("a thread writes the rows")
    assert "Traceback" not in outcome.err
    assert list(range(2_001)) == outcome.run.steps() == [row["_step"] for row in outcome.rows]
    assert {step: step / 2 for step in range(1, 2_001)} == outcome.run.series("loss")
    assert [{"conserved": True, "written": 2_001, "rows": 2_001}] == outcome.reports


def test_a_script_that_just_ends_takes_the_process_along(run_helped):
    """Everything is in the run."""
    outcome = run_helped(
        """
run = wandb.init()
bridge = configure(run, export_interval_millis=NEVER, writer="process")
report(pid=wait_for_process(run, bridge))
for step in range(1, 500):
    bridge.log({"loss": step / 2}, step=step, source="trainer")
"""
    ).ended_well()
    assert list(range(500)) == outcome.run.steps() == [row["_step"] for row in outcome.rows]
    with pytest.raises(ProcessLookupError):
        os.kill(outcome.reports[0]["pid"], 0)


def test_others_who_write_meanwhile_cost_no_row(run_helped):
    """`run.log` beside the bridge, and a forked child that ends in `os._exit`."""
    outcome = run_helped(
        """
run = wandb.init()
bridge = configure(run, export_interval_millis=20, writer="process")
wait_for_process(run, bridge)
for step in range(1, 400):
    bridge.log({"loss": step / 2}, step=step, source="trainer")
    if step % 50 == 0:
        run.log({"foreign": step})
    if step == 200:
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
run.finish()
stats = bridge.stats()
report(conserved=stats.is_conserved())
"""
    )
    assert 0 == outcome.code
    assert "Traceback" not in outcome.err
    assert {step: step / 2 for step in range(1, 400)} == outcome.run.series("loss")
    assert list(range(50, 400, 50)) == [row["foreign"] for row in outcome.rows if "foreign" in row]
    assert [{"conserved": True}] == outcome.reports
    assert "ignoring partial history record" not in outcome.run.service_log


def test_calls_of_wandb_log_are_written_there_too(run_helped):
    """The start-up switch of the drop-in, which is in the environment, does not reach the process."""
    outcome = run_helped(
        """
os.environ["WANDB_STEP_FIX_ENABLED"] = "true"
from otel_wandb_bridge.wandb_step_fix import patch_wandb_log

patch_wandb_log(writer="process", flush_interval=3_600)
run = wandb.init()
wandb.log({"loss": 0.0}, step=0)
from otel_wandb_bridge.wandb_step_fix import finalize_wandb_logging

finalize_wandb_logging()
outbox(run)._process.is_ready(wait=True)
for step in range(1, 300):
    wandb.log({"loss": step / 2}, step=step)
finalize_wandb_logging()
report(written=outbox(run).unconfirmed)
run.finish()
"""
    ).ended_well()
    assert {step: step / 2 for step in range(300)} == outcome.run.series("loss")
    assert list(range(300)) == [row["_step"] for row in outcome.rows]


def test_a_run_that_cannot_be_attached_to_is_written_by_the_thread(run_helped):
    """It is said once, and costs nothing."""
    outcome = run_helped(
        """
from otel_wandb_bridge.testing import FakeRun

run = FakeRun()
bridge = configure(run, export_interval_millis=NEVER, writer="process")
for step in range(10):
    bridge.log({"loss": step / 2}, step=step)
bridge.shutdown()
report(steps=[row["global_step"] for row in run.rows], conserved=bridge.stats().is_conserved())
"""
    )
    assert 0 == outcome.code
    assert 1 == outcome.err.count("a thread writes the rows")
    assert [{"steps": list(range(10)), "conserved": True}] == outcome.reports
