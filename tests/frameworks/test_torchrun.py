"""A job of several ranks, as PyTorch's launcher starts it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="a worker needs exporters from 1.29")
pytest.importorskip("starlette", reason="the receiver needs its extra")

from otel_wandb_bridge.testing import read_rows

pytest.importorskip("torch")
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


def test_torchrun_launches_the_same_job(tmp_path):
    """With PyTorch's launcher and its barrier."""
    script = [EXAMPLES / "many_ranks.py", "--steps", "20", "--port", str(free_port())]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    said, rows = run(tmp_path, *launcher, "--master-port", str(free_port()), *script)
    assert "20 rows of 120 samples, 0 of them late" in said
    assert list(range(20)) == [row["global_step"] for row in rows]
