"""The example that only knows `wandb.log`: run as it is, and with the environment variable set."""

import os
import subprocess
import sys
from pathlib import Path

from conftest import SURROUNDINGS

from otel_wandb_bridge.testing import read_rows

JOB = Path(__file__).parents[2] / "examples" / "wandb_log_job.py"
STEPS = 200
EXPECTED = {
    *(("train/loss", step) for step in range(STEPS)),
    *(("train/entropy", step) for step in range(STEPS)),
    *(("reward/mean", step) for step in range(STEPS)),
    *(("reward/max", step) for step in range(STEPS)),
    *(("perf/tokens", step) for step in range(STEPS - 1)),
    *(("eval/accuracy", step) for step in range(0, STEPS, 10)),
}
"""Each key and step that the four components log."""


def run_job(directory, **variables):
    """Run it in a directory of its own; its rows, and what W&B's service says of it."""
    directory.mkdir()
    environment = {**os.environ, **SURROUNDINGS, **variables}
    subprocess.run(
        [sys.executable, str(JOB), "--steps", str(STEPS)],
        cwd=directory,
        env=environment,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (file,) = directory.glob("wandb/offline-run-*/*.wandb")
    return read_rows(file), (file.parent / "logs" / "debug-internal.log").read_text()


def placed(rows, axis):
    """Key and step of every value that was logged."""
    return [(key, row[axis]) for row in rows for key in row if "/" in key]


def test_the_variable_makes_the_chart_whole(tmp_path):
    """As it is, W&B rejects rows by the hundred; with it set, one row a step has every value of the step."""
    rows, said = run_job(tmp_path / "as-it-is", WANDB_STEP_FIX_ENABLED="")
    assert len(placed(rows, "_step")) < 0.6 * len(EXPECTED)
    assert "ignoring partial history record" in said

    rows, said = run_job(tmp_path / "fixed", WANDB_STEP_FIX_ENABLED="true")
    assert "ignoring partial history record" not in said
    assert sorted(EXPECTED) == sorted(placed(rows, "global_step"))
    assert list(range(STEPS)) == [row["global_step"] for row in rows]
    assert list(range(STEPS)) == [row["_step"] for row in rows]
