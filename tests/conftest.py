"""What every test may rely on: a silent, offline W&B, a clean environment and a clean step clock."""

import os

import pytest
from hypothesis import settings

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

from otel_wandb_bridge.record.clock import STEP_CLOCK

settings.register_profile("nightly", max_examples=5_000, deadline=None)


@pytest.fixture(autouse=True)
def clean_surroundings(monkeypatch):
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
