"""Where nothing can be written: a full disk, a directory that is read-only or gone."""

import subprocess

from otel_wandb_bridge.testing import read_rows


def test_a_full_disk_does_not_disturb_the_training(run_script, small_disk):
    """W&B's service goes on without its file and says nothing; we say it, and the program ends as ever."""
    outcome = run_script(
        f"""
run = wandb.init(dir={str(small_disk)!r}, id="abc")
bridge = configure(run, export_interval_millis=100)
for step in range(2_000):
    bridge.log({{"much": "x" * 2_000}}, step=step, source="trainer")
run.finish()
stats = bridge.stats()
report(conserved=stats.is_conserved(), pending=stats.pending, errors=stats.service_errors > 0)
""",
        timeout=90,
    )
    assert 0 == outcome.code
    assert [{"conserved": True, "pending": 0, "errors": True}] == outcome.reports
    (said,) = outcome.err.splitlines()
    assert "cannot write its local file" in said
    assert "no space left on device" in said


def test_a_directory_that_is_read_only_does_not_disturb_the_training(run_script, small_disk):
    """W&B takes another one, and says so; the rows are there."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    outcome = run_script(
        f"""
run = wandb.init(dir={str(small_disk)!r}, id="abc")
bridge = configure(run)
for step in range(10):
    bridge.log({{"loss": step / 2}}, step=step)
report(file=run.settings.sync_file)
run.finish()
""",
        variables={"TMPDIR": str(small_disk.parent)},
    )
    assert 0 == outcome.code
    (report,) = outcome.reports  # after the exit: right after a finish the file may be empty yet
    assert list(range(10)) == [row["global_step"] for row in read_rows(report["file"])]
