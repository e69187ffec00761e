"""One process at a time, with all that it starts: what it cost, and what is in its result."""

import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .contenders import Contender
from .works import Work

ROOT = Path(__file__).resolve().parent.parent
_QUIET = {"WANDB_SILENT": "true", "WANDB_MODE": "offline", "PYTHONWARNINGS": "ignore"}
_NEEDS = {
    "Aim": "aim",
    "Mlflow": "mlflow",
    "Neptune": "neptune_scale",
    "PrometheusClient": "prometheus_client",
    "TensorBoard": "tensorboardX",
    "Trackio": "trackio",
}


class ProcessFailed(Exception):
    """A process that was to be measured ended badly."""


def is_here(contender: type[Contender]) -> bool:
    """Whether what the contender needs is installed."""
    needed = _NEEDS.get(contender.__name__)
    return needed is None or importlib.util.find_spec(needed) is not None


def measured(work: Work, contender: type[Contender], steps: int, loops: int) -> dict[str, Any]:
    """A contender does a work; no steps: it starts and finishes.

    Raises:
        ProcessFailed: with the end of what the process said.
    """
    order = {"work": work.name, "contender": contender.__name__, "steps": steps, "loops": loops}
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        interval = {"OTEL_METRIC_EXPORT_INTERVAL": str(work.interval)}
        figures = run("benchmarks.inside", json.dumps(order), directory, interval)
        if steps and contender.reads_back:
            figures |= _read_back(work, contender, steps, directory)
    return figures


def run(
    module: str, argument: str, directory: Path, environment: dict[str, str] | None = None
) -> dict[str, Any]:
    """Run a module in a process of its own: the JSON that it prints last, and `cpu` seconds of all of it.

    Raises:
        ProcessFailed: with the end of what the process said.
    """
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "benchmarks.alone", module, argument],
            cwd=directory,
            env={**os.environ, **_QUIET, **(environment or {}), "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=600,
        )
    except subprocess.TimeoutExpired as error:
        raise ProcessFailed(f"{module} {argument}: no end after {error.timeout} s") from error
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode:
        raise ProcessFailed(f"{module} {argument}: exit status {ended.returncode}\n{ended.stderr[-2_000:]}")
    figures: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**figures, "cpu": cpu}


def _read_back(work: Work, contender: type[Contender], steps: int, directory: Path) -> dict[str, Any]:
    """How much of what was reported is in the result, at the step that it was reported for."""
    found = {(scalar.step, scalar.key, scalar.value) for scalar in contender.read(directory)}
    expected = set(work.scalars(steps))
    return {"right": len(found & expected) / len(expected), **_rows(contender, directory)}


def _rows(contender: type[Contender], directory: Path) -> dict[str, Any]:
    files = [*directory.glob("wandb/offline-run-*/run-*.wandb")]
    if not files:
        return {}
    from otel_wandb_bridge.testing import read_records, read_rows

    rows = read_rows(files[0])
    began = next(record.run.start_time for record in read_records(files[0]) if record.HasField("run"))
    # W&B says when it took a row, the bridge when it was measured.
    zero = began.seconds + began.nanos / 1e9
    delays = sorted(zero + row["_runtime"] - row["_timestamp"] for row in rows if "_timestamp" in row)
    return {"rows": len(rows), "delays": delays[:: max(1, len(delays) // 100)]}
