"""The environment in which a user works, and commands run in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ.get("INSTALLED", "")
OTHERS = ("OTEL_", "WANDB_", "PYTHON", "MAKE", "MFLAGS", "VIRTUAL_ENV")
"""What this process has in its environment and a user's shell has not."""

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


@pytest.fixture(scope="session", autouse=True)
def _there_is_an_environment():
    if not ENVIRONMENT:
        pytest.skip("make wheel sets INSTALLED")


@pytest.fixture(scope="session")
def wheel():
    """What `make wheel` has built."""
    (wheel,) = (ROOT / "dist").glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def shell(wheel, tmp_path_factory):
    """Run a script as a user does who has activated an environment; its `otel-wandb-bridge` is the wheel."""
    constraint = tmp_path_factory.mktemp("pip") / "constraint.txt"
    constraint.write_text(f"otel-wandb-bridge=={wheel.name.split('-')[1]}\n")

    def shell(script, directory, environment, **variables):
        kept = {key: value for key, value in os.environ.items() if not key.startswith(OTHERS)}
        ours = {
            "PATH": f"{environment / 'bin'}{os.pathsep}{kept['PATH']}",
            "VIRTUAL_ENV": str(environment),
            "PIP_CONSTRAINT": str(constraint),
            "PIP_FIND_LINKS": f"{wheel.resolve().parent} {os.environ.get('PIP_FIND_LINKS', '')}".strip(),
            "UV_FIND_LINKS": str(wheel.resolve().parent),
            "UV_CONSTRAINT": str(constraint),
            "WANDB_SILENT": "true",
        }
        return subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=directory,
            env={**kept, **ours, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
        )

    return shell


@pytest.fixture(scope="session")
def installed(shell, wheel):
    """The environment that was empty, with the package alone."""
    environment = Path(ENVIRONMENT).resolve()
    done = shell("pip install otel-wandb-bridge", ROOT, environment)
    assert 0 == done.returncode, done.stderr
    assert wheel.name in done.stdout
    return environment


@pytest.fixture
def run(shell, installed, tmp_path):
    """Run a script in a directory with a `train.py`."""
    (tmp_path / "train.py").write_text(TRAIN)

    def run(script, *, directory=tmp_path, **variables):
        return shell(script, directory, installed, **variables)

    return run


@pytest.fixture
def uv_run(shell, tmp_path):
    """The same in an empty environment that uv has made."""
    uv = Path(pytest.importorskip("uv").find_uv_bin())
    environment = tmp_path / "environment"
    made = subprocess.run(
        [uv, "venv", "--quiet", "--python", sys.executable, environment], capture_output=True, text=True
    )
    assert 0 == made.returncode, made.stderr
    (environment / "bin" / "uv").symlink_to(uv)

    def run(script):
        return shell(script, tmp_path, environment)

    return run
