"""What every test may rely on: a silent, offline W&B, a clean environment and a clean step clock."""

import os
import sys

import pytest
from hypothesis import settings

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

from otel_wandb_bridge.record.clock import STEP_CLOCK

settings.register_profile("nightly", max_examples=5_000, deadline=None)


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


def pytest_fixture_setup():
    """Before any fixture, of whatever scope: see above."""
    os.environ.pop("WANDB_SERVICE", None)
