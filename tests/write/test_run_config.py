"""What a run's config says of its telemetry."""

import logging
from types import SimpleNamespace

import pytest

from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.testing import FakeRun
from otel_wandb_bridge.write.run_config import RunConfig


@pytest.fixture
def run():
    return FakeRun()


def test_sections_grow_and_empty_ones_are_left_out(run):
    """What was said before stays, unless it is said anew."""
    config = RunConfig(run, Ledger())
    config.describe({"resource": {"service.name": "trainer"}, "sources": {}})
    config.describe({"resource": {"host.name": "a"}, "metrics": {"loss": {"unit": "1"}}})
    config.describe({"metrics": {"loss": {"unit": "nat"}}})
    assert {
        "resource": {"service.name": "trainer", "host.name": "a"},
        "metrics": {"loss": {"unit": "nat"}},
    } == run.config.get("otel")


def test_what_somebody_else_keeps_under_the_name_is_no_section(run):
    """It is replaced: a description goes there."""
    run.config.update({"otel": "mine"}, allow_val_change=True)
    RunConfig(run, Ledger()).describe({"resource": {"a": 1}})
    assert {"resource": {"a": 1}} == run.config.get("otel")


def test_the_same_once_more_is_no_update(run):
    """Each one is a message to W&B."""
    updates = []
    run = SimpleNamespace(config=SimpleNamespace(get={"otel": {"a": {"b": 1}}}.get, update=updates.append))
    RunConfig(run, Ledger()).describe({"a": {"b": 1}})
    assert [] == updates


def test_a_refusal_is_said_once_and_raised_never(caplog):
    """Training goes on without the description."""

    def refuse(*args, **kwargs):
        raise ConnectionError("no answer")

    run = SimpleNamespace(config=SimpleNamespace(get=lambda key: None, update=refuse))
    config = RunConfig(run, Ledger())
    with caplog.at_level(logging.WARNING, "otel_wandb_bridge"):
        for number in range(2):
            config.describe({"resource": {"a": number}})
    (line,) = caplog.messages
    assert "W&B refuses the description of the telemetry: ConnectionError('no answer')" in line
