"""What is killed: the program, without a warning, or W&B's service under it."""

import os

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills and children of POSIX")

TRAINING = """
import signal
import subprocess

run = wandb.init(id="abc")
bridge = configure(run, export_interval_millis=200)
loss = metrics.get_meter("trainer").create_gauge("loss")


def record(steps):
    for step in steps:
        loss.set(step / 2, {"step": step})
        bridge.log({"note": f"at {step}", "much": "x" * 1000}, step=step, source="trainer")


def kill_the_service():
    command = ["ps", "-o", "pid,comm", "--ppid", str(os.getpid())]
    found = subprocess.run(command, capture_output=True, text=True)
    for line in found.stdout.splitlines():
        pid, _, command = line.strip().partition(" ")
        if command == "wandb-core":
            os.kill(int(pid), signal.SIGKILL)
            os.waitid(os.P_PID, int(pid), os.WEXITED | os.WNOWAIT)  # a dying one would take rows yet


"""


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", "os._exit(9)"])
def test_a_killed_program_loses_an_interval_and_what_the_service_holds_and_no_more(run_script, end):
    """Rows of 1 kB: the service keeps back up to 32 KiB of the file. What is there is whole and in order."""
    outcome = run_script(
        TRAINING
        + f"""
record(range(200))
bridge.force_flush()
report(rows=bridge.stats().rows)
sys.stdout.flush()
{end}
"""
    )
    assert outcome.code in (9, -9)
    steps = outcome.run.steps()
    assert list(range(len(steps))) == steps
    assert 200 - 32 <= len(steps)
    assert all(row["loss"] == row["global_step"] / 2 for row in outcome.rows)
    assert outcome.run.exit_code is None


def test_a_service_that_is_killed_does_not_disturb_the_training(run_script):
    """What cannot be written any more is counted and said; the program goes on, and ends as it would."""
    outcome = run_script(
        TRAINING
        + """
record(range(50))
bridge.force_flush()
kill_the_service()
before = time.monotonic()
record(range(50, 100))
quick = time.monotonic() - before < 5
bridge.force_flush()
bridge.shutdown()
stats = bridge.stats()
report(quick=quick, conserved=stats.is_conserved(), lost=stats.shed, rows=stats.rows)
sys.stdout.flush()
sys.exit(3)
"""
    )
    assert 3 == outcome.code
    (facts,) = outcome.reports
    assert (True, True) == (facts["quick"], facts["conserved"])
    assert 3 * (100 - facts["rows"]) == facts["lost"]
    ours = [line for line in outcome.err.splitlines() if "samples are lost" in line]
    assert [f"{facts['lost']:,} samples are lost"] == [line.rpartition(": ")[2] for line in ours]


def test_after_a_service_was_killed_a_new_run_is_followed(run_script):
    """`wandb.teardown` and `wandb.init` start another service; a bridge that follows goes on with its run."""
    outcome = run_script(
        TRAINING.replace("configure(run,", "configure(None,")
        + """
record(range(50))
bridge.force_flush()
kill_the_service()
record(range(50, 60))
bridge.force_flush()
try:
    wandb.teardown()
except Exception as error:
    report(of_wandb=type(error).__name__)
run = wandb.init(id="next")
record(range(60, 70))
run.finish()
report(conserved=bridge.stats().is_conserved())
sys.stdout.flush()
os._exit(0)
"""
    )
    assert {"conserved": True} == outcome.reports[-1]
    assert list(range(60, 70)) == outcome.runs["next"].steps()
