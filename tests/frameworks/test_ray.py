"""Ray actors as workers, the receiver in the driver."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="a worker needs exporters from 1.29")
pytest.importorskip("starlette", reason="the receiver needs its extra")

from otel_wandb_bridge.testing import read_rows

pytest.importorskip("ray")
EXAMPLES = Path(__file__).parent.parent.parent / "examples"
QUIET = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}


def run(tmp_path, *command):
    """Run an example; returns what it printed and its rows."""
    ended = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **QUIET}, capture_output=True, text=True, timeout=120
    )
    assert 0 == ended.returncode, ended.stderr
    return ended.stdout, list(read_rows(tmp_path / "wandb"))


def test_ray_actors_send_to_the_driver(tmp_path):
    """Actors as workers, the receiver in the driver."""
    said, rows = run(tmp_path, sys.executable, EXAMPLES / "ray_workers.py", "--actors", "2", "--steps", "10")
    assert "10 rows of 50 samples, 0 of them late" in said
    assert list(range(10)) == [row["global_step"] for row in rows]
    assert 2_000 == rows[-1]["rollout/tokens"]
    assert all(
        row["rollout/reward/min"] <= row["rollout/reward"] <= row["rollout/reward/max"] for row in rows
    )
