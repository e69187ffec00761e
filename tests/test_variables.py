"""The environment variables of the bridge: which there are, and what is said of those that are none."""

import pytest

from otel_wandb_bridge import WandbMetricExporter, configure, variables
from otel_wandb_bridge.cli.serve import serve
from otel_wandb_bridge.testing import FakeRun


@pytest.fixture
def unsaid(monkeypatch):
    """As in a process that has said nothing yet."""
    monkeypatch.setattr(variables, "_is_said", False)


@pytest.mark.parametrize("start", [WandbMetricExporter, lambda: configure(FakeRun(), set_global=False)])
def test_a_variable_that_is_none_of_ours_is_said_once(monkeypatch, caplog, unsaid, start):
    """With the one that was meant, whoever reads the environment; once in a process."""
    monkeypatch.setenv("OTEL_WANDB_HOLDD", "3")
    monkeypatch.setenv("OTEL_WANDB_COLOUR", "red")
    monkeypatch.setenv("OTEL_WANDB_RECEIVER_TOKEN", "secret")
    monkeypatch.setenv("OTEL_WANDB_HOLD", "3")
    for _ in range(2):
        start().shutdown()
    (said,) = [record.getMessage() for record in caplog.records if "OTEL_WANDB_" in record.getMessage()]
    assert "OTEL_WANDB_HOLDD: did you mean OTEL_WANDB_HOLD?" in said
    assert "OTEL_WANDB_COLOUR: known are OTEL_WANDB_COUNTERS" in said
    assert "TOKEN" not in said.partition("known are")[0]


def test_a_worker_says_it_too(monkeypatch, caplog, unsaid):
    """It reads variables of its own."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="a worker needs exporters from 1.29")
    monkeypatch.setenv("OTEL_WANDB_ENDPOIN", "http://127.0.0.1:9")
    configure(endpoint="http://127.0.0.1:9", set_global=False).shutdown()
    assert "OTEL_WANDB_ENDPOIN: did you mean OTEL_WANDB_ENDPOINT?" in caplog.text


def test_the_variables_of_the_receiver_are_those_of_its_command():
    """Which has them from its flags."""
    of_command = {each.envvar for each in serve.params if each.envvar}
    assert of_command == {name for name in variables.known() if "RECEIVER" in name}
