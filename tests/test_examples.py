"""Every example runs, and shows what it promises."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from otel_wandb_bridge.testing import read_config, read_rows

EXAMPLES = Path(__file__).parents[1] / "examples"
INSTRUMENT = Path(sys.executable).with_name("opentelemetry-instrument")
SDK = tuple(map(int, importlib.metadata.version("opentelemetry-sdk").split(".")[:2]))
QUIET = {"OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}


@pytest.fixture
def run_example(tmp_path):
    """Run an example in a folder of its own; returns what it printed, and its runs by name or project."""

    def run(name, *arguments, under=(), **variables):
        ended = subprocess.run(
            [*under, sys.executable, EXAMPLES / name, *arguments],
            cwd=tmp_path,
            env={**os.environ, "WANDB_MODE": "offline", "WANDB_SILENT": "true", **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert 0 == ended.returncode, ended.stderr
        return ended, list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))

    return run


def series(rows, key, axis="global_step"):
    return {row[axis]: row[key] for row in rows if key in row}


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.glob("*.*")))
def test_no_example_is_forgotten(example):
    """Some test names it."""
    name = re.compile(rf"\b{re.escape(Path(example).stem)}\b")
    assert any(name.search(path.read_text()) for path in Path(__file__).parent.rglob("test_*.py"))


def test_own_provider(run_example):
    """An instrument with an aggregation of its own keeps its steps, too."""
    _, (file,) = run_example("own_provider.py")
    rows = read_rows(file)
    assert {step: 1 / (step + 1) for step in range(20)} == series(rows, "loss")
    assert {step: 4096 * (step + 1) for step in range(20)} == series(rows, "tokens")
    assert dict.fromkeys(range(20), 8) == series(rows, "latency/count")


def test_tracing(run_example):
    """Each row has the id of its trace, and each span leads to the run."""
    ended, (file,) = run_example("tracing.py")
    traces = re.findall(r'"trace_id": "0x([0-9a-f]{32})"', ended.stdout)
    assert dict(enumerate(traces)) == series(read_rows(file), "trace_id")
    assert 5 == ended.stdout.count(f'"wandb.run.id": "{file.stem.removeprefix("run-")}"')


def test_prometheus(run_example):
    """Two series after a hundred steps; every step in the run."""
    ended, (file,) = run_example("prometheus.py")
    printed = ended.stdout.splitlines()
    assert 2 == len(printed)
    assert not any("step=" in line or "priority=" in line for line in printed)
    rows = read_rows(file)
    assert 100 == len(series(rows, "reward/mean/task_math") | series(rows, "reward/mean/task_code"))


def test_zero_code(run_example):
    """By the variable."""
    _, (file,) = run_example("zero_code.py", under=[INSTRUMENT], OTEL_METRICS_EXPORTER="wandb", **QUIET)
    assert {step: 4096 * (step + 1) for step in range(50)} == series(read_rows(file), "tokens")


@pytest.mark.skipif(SDK < (1, 43), reason="there are no configuration files before 1.43")
def test_zero_code_by_the_configuration_file(run_example):
    """The options are the file's."""
    file_of_options = str(EXAMPLES / "otel.yaml")
    _, (file,) = run_example("zero_code.py", under=[INSTRUMENT], OTEL_CONFIG_FILE=file_of_options)
    expected = {step: 4096 * (step + 1) for step in range(50)}
    assert expected == series(read_rows(file), "tokens", axis="train/step")
    assert "trainer" == read_config(file)["otel"]["resource"]["service.name"]


def test_reward_service(run_example):
    """What service and client measure of each request is in the row of the step that caused it."""
    _, files = run_example("reward_service.py")
    rows_of = {("reward" in rows[0]): rows for rows in map(read_rows, files)}
    assert {step: step / 10 for step in range(5)} == series(rows_of[True], "reward")
    keys = {key for row in rows_of[False] for key in row}
    (duration,) = [key for key in keys if re.match(r"http/server/.*duration.*/count", key)]
    assert dict.fromkeys(range(5), 1) == series(rows_of[False], duration)
    keys = {key for row in rows_of[True] for key in row}
    (duration,) = [key for key in keys if re.match(r"http/client/.*duration.*/count", key)]
    assert dict.fromkeys(range(5), 1) == series(rows_of[True], duration)


@pytest.mark.skipif(SDK < (1, 29), reason="an OTLP exporter of 1.28 cannot encode exemplars without a span")
def test_many_ranks(run_example):
    """The losses are averaged, the tokens of all ranks added up, the slowest step is there, too."""
    _, (file,) = run_example("many_ranks.py", "--ranks", "2", "--steps", "10")
    rows = read_rows(file)
    assert {step: pytest.approx(1 / (1 + step) + 0.005) for step in range(10)} == series(rows, "train/loss")
    assert {step: 2_001 * (step + 1) for step in range(10)} == series(rows, "train/tokens")
    assert [*range(10)] == [*series(rows, "time/step/max")]
