"""Programs that log, in processes of their own, on real offline runs: a file is whole once these end."""

import hashlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from otel_wandb_bridge.testing import read_rows, read_summary

SURROUNDINGS = {
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "WANDB_CONSOLE": "off",
    "WANDB_ERROR_REPORTING": "false",
    # What W&B finds out about the machine takes it longer than most of these programs run.
    "WANDB_X_DISABLE_META": "true",
    "WANDB_X_DISABLE_STATS": "true",
    "WANDB_X_SAVE_REQUIREMENTS": "false",
    "WANDB_DISABLE_GIT": "true",
}

PROLOGUE = """
import json
import logging
import os
import sys
import threading
import time

import wandb
from wandb import wandb_run
from otel_wandb_bridge import WandbMetricExporter, configure, training_step
from otel_wandb_bridge.wandb_step_fix import (
    WandBStepManager,
    finalize_wandb_logging,
    get_step_manager,
    patch_wandb_log,
    safe_wandb_log,
    unpatch_wandb_log,
    update_training_step,
)

Run = wandb_run.Run  # older versions have no `wandb.Run`
NEVER = 3_600.0  # no flush by the interval: what arrives has been flushed by what is tested


def init(name, **more):
    return wandb.init(project="drop-in", id=name, **more)


def wait_until(condition):
    end = time.monotonic() + 20
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.002)


def report(**facts):
    print(json.dumps(facts))
"""


@dataclass(frozen=True)
class StoredRun:
    """What one run left behind."""

    rows: list[dict[str, Any]]
    files: Path
    """The directory that holds its media."""
    summary: dict[str, Any] = field(default_factory=dict)

    def values(self, key: str) -> list[Any]:
        """What was written under a key, in the order of the file."""
        return [row[key] for row in self.rows if key in row]

    def by_step(self, key: str, axis: str = "global_step") -> dict[int, Any]:
        """Training step to value; fails where a step has it twice."""
        pairs = [(row.get(axis), row[key]) for row in self.rows if key in row]
        assert len(dict(pairs)) == len(pairs), f"{key} twice at a step: {pairs}"
        return dict(pairs)

    def plain(self) -> list[dict[str, Any]]:
        """The rows without what W&B puts into them by itself."""
        return [{key: row[key] for key in row if not key.startswith("_")} for row in self.rows]

    def sha256(self, path: str) -> str:
        """Of a file of this run."""
        return hashlib.sha256((self.files / path).read_bytes()).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """What a program that has ended left behind."""

    code: int
    out: str
    err: str
    runs: dict[str, StoredRun]
    """By their ids."""
    facts: dict[str, Any]
    """What the program gave to `report()`."""

    def ended_well(self) -> "Outcome":
        """Fails unless the program ended with 0 and said nothing; returns itself."""
        assert (0, "") == (self.code, self.err)
        return self


@pytest.fixture(scope="session")
def run_program(tmp_path_factory, warm_python):
    """Run a program after the prologue above, wait for its end, and read what its runs have left behind."""

    def run(source: str, *, timeout: float = 60.0, prologue: str = PROLOGUE, **environment: str) -> Outcome:
        command = warm_python if prologue is PROLOGUE and not environment else [sys.executable]
        directory = tmp_path_factory.mktemp("program")
        return _run(command, prologue + textwrap.dedent(source), directory, timeout, environment)

    return run


def _run(
    command: Sequence[str | Path], source: str, directory: Path, timeout: float, more: dict[str, str]
) -> Outcome:
    script = directory / "program.py"
    script.write_text(source)
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "WANDB_STEP_FIX"))
    }
    try:
        ended = subprocess.run(
            [*command, script.name],
            cwd=directory,
            env={**clean, **SURROUNDINGS, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"still running after {timeout} s; said {error.stdout!r} and {error.stderr!r}")
    facts: dict[str, Any] = {}
    for line in ended.stdout.splitlines():
        if line.startswith("{"):
            facts |= json.loads(line)
    files = (directory / "wandb").glob("*run-*/*.wandb")
    runs = {
        file.stem.removeprefix("run-"): StoredRun(read_rows(file), file.parent / "files", read_summary(file))
        for file in files
    }
    return Outcome(ended.returncode, ended.stdout, ended.stderr, runs, facts)
