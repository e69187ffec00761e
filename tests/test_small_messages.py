"""What is said where something small went wrong: what it was, and what to do."""

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from otel_wandb_bridge import WandbMetricExporter, configure
from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.stats import stats_of
from otel_wandb_bridge.testing import FakeRun


def bridge_to(run, **options):
    return configure(run, set_global=False, export_interval_millis=3_600_000, **options)


@pytest.mark.parametrize("given", ["a", None, True, float("nan")])
def test_a_timeout_that_is_none_is_refused_in_words(given):
    """With what came and what is expected."""
    with bridge_to(FakeRun()) as bridge, pytest.raises(TypeError, match="timeout_millis must be a number of"):
        bridge.force_flush(given)


def test_a_journal_that_is_a_directory_is_refused_as_such(tmp_path):
    """SQLite would say that it is unable to open the database file."""
    with pytest.raises(ValueError, match="it is a directory; give the name of a file in it"):
        bridge_to(FakeRun(id="a"), journal=tmp_path)


def test_use_after_the_shutdown_is_said_with_what_to_do(caplog):
    """Once."""
    bridge = bridge_to(FakeRun())
    bridge.shutdown()
    for _ in range(2):
        bridge.log({"loss": 1})
    (text,) = caplog.messages
    assert (
        "its values are lost: shut it down after the last of them, or make another with configure()" in text
    )


def test_what_on_late_raised_is_said_in_one_go(caplog):
    """The name of the error once, and its words once."""

    def on_late(sample):
        raise ValueError("mine")

    with bridge_to(FakeRun(), on_late=on_late) as bridge:
        bridge.log({"loss": 1}, step=3)
        bridge.force_flush()
        bridge.log({"loss": 1}, step=2)
        bridge.force_flush()
    (text,) = [text for text in caplog.messages if "on_late" in text]
    assert (1, 1) == (text.count("ValueError"), text.count("mine"))


def test_where_there_was_no_run_it_is_not_said_that_wandb_took_no_rows(caplog):
    """Nobody called `wandb.init`."""
    caplog.set_level("INFO", "otel_wandb_bridge")
    exporter = WandbMetricExporter()
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("t").create_gauge("loss").set(1, {"step": 0})
    provider.shutdown()
    assert 1 == exporter.stats().shed
    assert "samples 1 shed: there was no run to write them to; call wandb.init" in caplog.text
    assert "did not take rows" not in caplog.text


def test_counts_are_shown_without_the_zeros():
    """As they are printed."""
    ledger = Ledger(recorded=3, written=2)
    ledger.reject("step", "x", "y")
    shown = "Stats(recorded=3, written=2, rejected=1, rejected_reasons={'step': 1})"
    assert shown == repr(stats_of(ledger, waiting=0, shed=0, pending=0))
    assert "Stats(recorded=0)" == str(stats_of(Ledger(), waiting=0, shed=0, pending=0))
