"""A receiver on a run in memory."""

import pytest

pytest.importorskip("uvicorn", reason="the extra `receiver` is not installed")

from otel_wandb_bridge import OtlpReceiver
from otel_wandb_bridge.testing import FakeRun


@pytest.fixture
def run():
    """A run in memory."""
    return FakeRun()


@pytest.fixture
def receiving(run):
    """Make a receiver on the run, started; it is stopped at the end."""
    started = []

    def start(**options):
        receiver = OtlpReceiver(run, port=0, **options)
        receiver.start()
        started.append(receiver)
        return receiver

    yield start
    for receiver in started:
        receiver.stop()


@pytest.fixture
def receiver(receiving):
    """A receiver on the run."""
    return receiving()
