"""What every test may rely on: a silent, offline W&B, a clean environment and a clean step clock."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
# A second thread of NumPy's costs the small matrices of the demo four times the CPU, and gains nothing.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from otel_wandb_bridge.record.clock import STEP_CLOCK

IMPORTED = (
    "wandb",
    "wandb.sdk.wandb_init",
    "wandb.sdk.launch.inputs.internal",
    "wandb.apis.public",
    "opentelemetry.sdk.metrics.export",
    "otel_wandb_bridge.assembly",
    "otel_wandb_bridge.testing",
    "otel_wandb_bridge.wandb_step_fix",
)
"""What most programs of the tests import, and what `wandb.init` does."""

settings.register_profile("nightly", max_examples=5_000, deadline=None)


def pytest_collection_modifyitems(items):
    """What waits for processes comes first, so that no worker is left with all of it at the end."""
    first = ("end_to_end", "wandb_step_fix", "switch")
    items.sort(key=lambda item: first.index(item.path.parent.name) if item.path.parent.name in first else 9)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mounting, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture(autouse=True, scope="module")
def no_run_is_left_by_the_module():
    """As of a test."""
    yield from _with_the_run_of_before()


@pytest.fixture(autouse=True)
def no_run_is_left():
    """A run that a test leaves open would be everybody's `wandb.run`: that test is the one to fail."""
    yield from _with_the_run_of_before()


def _with_the_run_of_before():
    before = _run()
    yield
    left = _run()
    if left is not None and left is not before:
        left.finish()
        pytest.fail(f"a run was left open: {left!r}")


def _run():
    return getattr(sys.modules.get("wandb"), "run", None)


@pytest.fixture(autouse=True)
def clean_surroundings(no_run_is_left, monkeypatch):
    """Nobody's variables and no step of another test."""
    for name in list(os.environ):
        # A run that another test made in this process leaves W&B's service running, and its address behind.
        if name.startswith("OTEL_") or name == "WANDB_SERVICE":
            monkeypatch.delenv(name)
    STEP_CLOCK.reset()
    yield
    STEP_CLOCK.reset()


@pytest.fixture(scope="session")
def warm_python(tmp_path_factory):
    """The start of a command that runs a program as `python program.py` does, without the imports.

    With `TESTS_START_COLD` in the environment, or where no process can be forked: Python itself.
    """
    if not hasattr(os, "fork") or os.environ.get("TESTS_START_COLD"):
        yield [sys.executable]
        return
    place = tmp_path_factory.mktemp("warm") / "socket"
    script = Path(__file__).with_name("warm_start.py")
    server = subprocess.Popen(
        [sys.executable, script, "serve", place, *IMPORTED], cwd=place.parent, stdout=subprocess.PIPE
    )
    assert b"ready\n" == server.stdout.readline()
    yield [sys.executable, "-I", "-S", script, "run", place]
    server.terminate()
    server.communicate()


@pytest.fixture
def quiet():
    """What is logged once for each example is too much for all of them."""
    loggers = [logging.getLogger(name) for name in ("otel_wandb_bridge", "opentelemetry")]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    yield
    for logger in loggers:
        logger.setLevel(logging.NOTSET)


def pytest_fixture_setup():
    """Before any fixture, of whatever scope: see above."""
    os.environ.pop("WANDB_SERVICE", None)
