"""The package as users get it, in an environment of its own: `make wheel` builds both and runs this.

`INSTALLED` names the environment, whose wheel was built into `dist`.
"""

import json
import os
import re
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ.get("INSTALLED", "")
pytestmark = pytest.mark.skipif(not ENVIRONMENT, reason="make wheel sets INSTALLED")

TRAIN = """
import sys
import wandb
from opentelemetry import metrics

with wandb.init(project="demo", mode="offline") as run:
    gauge = metrics.get_meter("trainer").create_gauge("lr")
    for step in range(8):
        run.log({"loss": 1 / (step + 1)}, step=step)
        gauge.set(0.1, {"step": step})
        if step >= 4:
            wandb.log({"eval/accuracy": step / 10}, step=step - 4)
"""

COMMANDS = [
    command.partition("#")[0].strip()
    for block in re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    for command in block.splitlines()
]
ELSEWHERE = ("pip install", "make test", "otel-wandb demo")
"""What `make wheel` and CI run in so many words, before this."""


@pytest.fixture
def run(tmp_path):
    """Run a command as a user does who has activated the environment."""

    def run(command, **variables):
        binaries = Path(ENVIRONMENT).resolve() / "bin"
        others = ("OTEL_", "WANDB_", "PYTHON")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(others)}
        path = f"{binaries}{os.pathsep}{kept['PATH']}"
        return subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            env={**kept, "PATH": path, "WANDB_SILENT": "true", **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=150,
        )

    (tmp_path / "train.py").write_text(TRAIN)
    return run


def facts_of(run):
    """What `inspect` says of the latest run."""
    done = run("otel-wandb inspect --json")
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_does_what_it_says(command, run):
    """Copied from there, in an environment with the package alone."""
    if command.startswith(ELSEWHERE):
        return
    if command.startswith("WANDB_STEP_FIX_ENABLED"):
        done = run(command)
        assert 0 == done.returncode, done.stderr
        facts = facts_of(run)
        assert (8, 4) == (facts["rows"], facts["keys"]["eval/accuracy"])
        assert (0, 0) == (facts["late_rows"], facts["dropped_by_wandb"])
    elif command.startswith("OTEL_METRICS_EXPORTER"):
        if run("opentelemetry-instrument --version").returncode:
            pytest.skip("opentelemetry-distro is not in this environment")
        done = run(command)
        assert 0 == done.returncode, done.stderr
        assert 8 == facts_of(run)["keys"]["lr"]
    elif command.startswith("otel-wandb inspect"):
        assert 0 == run("WANDB_STEP_FIX_ENABLED=true python train.py").returncode
        done = run(command)
        assert (0, True) == (done.returncode, "eval/accuracy" in done.stdout), done.stderr
    elif command.startswith("otel-wandb doctor"):
        done = run(command)
        assert "otel-wandb-bridge" in done.stdout, done.stderr
        assert 0 == done.returncode, done.stdout
    else:
        pytest.fail(f"nobody tries {command!r} of the README")


def test_the_readme_has_commands():
    """Else nothing is tried."""
    assert len(COMMANDS) > 7


@pytest.mark.parametrize("number", range(3))
def test_a_program_of_the_readme_runs_with_the_package_alone(number, run, tmp_path):
    """No part of the tests' environment is needed."""
    programs = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    (tmp_path / "program.py").write_text(programs[number])
    done = run("python program.py")
    assert (0, "") == (done.returncode, done.stderr)


def test_the_wheel_holds_the_package_and_no_tests():
    """With its licence, its types, and the start-up files of the switch."""
    (wheel,) = (ROOT / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    starts = {"otel_wandb_bridge_start.pth", "otel_wandb_bridge_start.start"}
    (info,) = (top for top in tops if top.endswith(".dist-info"))
    assert {"otel_wandb_bridge", info, *starts} == tops
    assert {"otel_wandb_bridge/py.typed", f"{info}/licenses/LICENSE"} <= set(names)
    assert not [name for name in names if "test_" in name or "/tests/" in name or name.endswith(".pyc")]


def test_the_metadata_says_what_people_look_for():
    """Licence by its SPDX expression, the extras that the README names, the lowest Python."""
    (wheel,) = (ROOT / "dist").glob("*.whl")
    archive = zipfile.ZipFile(wheel)
    (name,) = (each for each in archive.namelist() if each.endswith("METADATA"))
    metadata = archive.read(name).decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.10" in metadata
    for extra in ("demo", "inspect", "receiver", "grpc", "transformers", "lightning", "accelerate", "torch"):
        assert f"Provides-Extra: {extra}" in metadata


def test_the_source_distribution_can_be_tested():
    """It holds the tests, the docs and what runs them."""
    (sdist,) = (ROOT / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"tests/conftest.py", "docs/index.md", "mkdocs.yml", "Makefile", "CHANGELOG.md"} <= names


def test_an_extra_that_is_missing_is_named_with_its_command(run):
    """Where a command needs more than the package."""
    assert 0 == run("WANDB_STEP_FIX_ENABLED=true python train.py").returncode
    done = run("otel-wandb inspect --png run.png")
    assert (1, True) == (done.returncode, 'pip install "otel-wandb-bridge[inspect]"' in done.stderr)
