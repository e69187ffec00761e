"""A job of several processes, as the example starts it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="a worker needs exporters from 1.29")
pytest.importorskip("starlette", reason="the receiver needs its extra")

from otel_wandb_bridge.testing import read_rows

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
QUIET = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(tmp_path, *command):
    """Run an example; returns what it printed and its rows."""
    ended = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **QUIET}, capture_output=True, text=True, timeout=120
    )
    assert 0 == ended.returncode, ended.stderr
    return ended.stdout, list(read_rows(tmp_path / "wandb"))


@pytest.mark.long
def test_a_job_of_several_ranks_writes_one_row_a_step(tmp_path):
    """Without PyTorch: rank 0 starts the others."""
    script = [sys.executable, EXAMPLES / "many_ranks.py"]
    said, rows = run(tmp_path, *script, "--ranks", "3", "--steps", "20", "--port", str(free_port()))
    assert "20 rows of 180 samples, 0 of them late" in said
    assert list(range(20)) == [row["global_step"] for row in rows]
    assert 20 * 3_003 == rows[-1]["train/tokens"]
    assert rows[0]["time/step"] <= rows[0]["time/step/max"]
