"""The example that only knows `wandb.log`: run as it is, and with the environment variable set."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from otel_wandb_bridge.testing import read_rows

SURROUNDINGS = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_CONSOLE": "off"}
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


PACED = """
import os, time, wandb
from otel_wandb_bridge.wandb_step_fix import get_step_manager

with wandb.init(mode="offline") as run:
    for step in range(5):
        wandb.log({"loss": step / 2}, step=step)
    end = time.monotonic() + 8
    while time.monotonic() < end and get_step_manager().get_stats()["rows"] < 4:
        time.sleep(0.01)
    print(get_step_manager().get_stats()["rows"])
"""


@pytest.mark.parametrize("disabled", ["", "true"], ids=["", "OTEL_SDK_DISABLED"])
def test_rows_come_at_the_flush_interval_where_no_component_lags(tmp_path, disabled):
    """Every call of one function has one source, the first included: nothing waits for the hold."""
    variables = {"WANDB_STEP_FIX_ENABLED": "true", "WANDB_STEP_FIX_FLUSH_INTERVAL": "0.1"}
    ended = subprocess.run(
        [sys.executable, "-c", PACED],
        cwd=tmp_path,
        env={**os.environ, **SURROUNDINGS, **variables, "OTEL_SDK_DISABLED": disabled},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "4" == ended.stdout.strip()
