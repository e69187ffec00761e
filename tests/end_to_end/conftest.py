"""Scripts in processes of their own, on real offline runs: a file is whole once its writer has ended."""

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from otel_wandb_bridge.testing import read_config, read_records, read_rows, read_summary

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
import atexit
import json
import os
import sys
import threading
import time

import wandb
from opentelemetry import metrics
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from otel_wandb_bridge import WandbMetricExporter, configure, set_step, training_step

NEVER = 3_600_000  # no flush by the interval: what arrives has been flushed by what is tested


def new_provider(exporter, interval=NEVER, **more):
    return MeterProvider([PeriodicExportingMetricReader(exporter, export_interval_millis=interval)], **more)


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
    summary: dict[str, Any]
    config: dict[str, Any]
    exit_code: int | None
    """The exit code that W&B was told; None: it was told nothing."""
    service_log: str
    """The text of `logs/debug-internal.log`: W&B says there, and often only there, what it throws away."""

    def steps(self, axis: str = "global_step") -> list[int]:
        """The training step of each row, in the order of the file."""
        return [row[axis] for row in self.rows]

    def series(self, key: str, axis: str = "global_step") -> dict[int, Any]:
        """Training step to value, of the rows that have the key; fails where a step has it twice."""
        pairs = [(row[axis], row[key]) for row in self.rows if key in row]
        assert len(dict(pairs)) == len(pairs), f"{key} twice at a step: {pairs}"
        return dict(pairs)


@dataclass(frozen=True)
class Outcome:
    """What a script that has ended left behind."""

    code: int
    out: str
    err: str
    runs: dict[str, StoredRun]
    """By their ids."""
    reports: list[dict[str, Any]]
    """What the script gave to `report()`, in order."""

    @property
    def run(self) -> StoredRun:
        """The only run."""
        (run,) = self.runs.values()
        return run

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of the only run."""
        return self.run.rows

    def ended_well(self) -> "Outcome":
        """Fails unless the script ended with 0 and said nothing; returns itself."""
        assert (0, "") == (self.code, self.err)
        return self


@pytest.fixture
def run_script(tmp_path, warm_python):
    """Run a script after the prologue above, wait for its end, and read what its runs have left behind."""

    def run(
        source: str,
        *,
        timeout: float = 60.0,
        under: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        prologue: str = PROLOGUE,
        warm: bool | None = None,
    ) -> Outcome:
        if warm is None:  # variables may matter while something is imported
            warm = not variables and prologue is PROLOGUE
        command = warm_python if warm and not under else [*under, sys.executable]
        return _run(command, prologue + textwrap.dedent(source), tmp_path, timeout, variables or {})

    return run


@pytest.fixture(scope="module")
def run_script_once(tmp_path_factory, warm_python):
    """The same for all tests of a module."""

    def run(source: str, *, timeout: float = 120.0) -> Outcome:
        directory = tmp_path_factory.mktemp("once")
        return _run(warm_python, PROLOGUE + textwrap.dedent(source), directory, timeout)

    return run


@pytest.fixture
def run_scripts(tmp_path, warm_python):
    """Run scripts by name, two at a time."""

    def run(sources: dict[str, str], *, timeout: float = 60.0) -> dict[str, Outcome]:
        def run_one(name: str) -> Outcome:
            directory = tmp_path / name.replace(" ", "_")
            directory.mkdir()
            return _run(warm_python, PROLOGUE + textwrap.dedent(sources[name]), directory, timeout)

        with ThreadPoolExecutor(2) as pool:
            return dict(zip(sources, pool.map(run_one, sources), strict=True))

    return run


@pytest.fixture
def another_second():
    """Waits for the clock's next one: W&B names the directory of a run by its second and its id."""

    def wait():
        second = int(time.time())
        while int(time.time()) == second:
            time.sleep(0.02)

    return wait


def _run(
    command: Sequence[str | Path],
    source: str,
    directory: Path,
    timeout: float,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Outcome:
    script = directory / "script.py"
    script.write_text(source)
    try:
        ended = subprocess.run(
            [*command, script.name],
            cwd=directory,
            env={**os.environ, **SURROUNDINGS, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"still running after {timeout} s; said {error.stdout!r} and {error.stderr!r}")
    return Outcome(
        ended.returncode,
        ended.stdout,
        ended.stderr,
        {_id(file): _stored(file) for file in (directory / "wandb").glob("*run-*/*.wandb")},
        [json.loads(line) for line in ended.stdout.splitlines() if line.startswith(('{"', "{}"))],
    )


def _id(file: Path) -> str:
    return file.stem.removeprefix("run-")


def _stored(file: Path) -> StoredRun:
    log = file.parent / "logs" / "debug-internal.log"
    exits = [record.exit.exit_code for record in read_records(file) if record.HasField("exit")]
    exit_code = exits[-1] if exits else None
    said = log.read_text() if log.exists() else ""
    return StoredRun(read_rows(file), read_summary(file), read_config(file), exit_code, said)
