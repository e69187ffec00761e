"""`configure` and the bridge: one call that sets everything up, and the direct lane."""

import os
import subprocess
import sys
import textwrap

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from otel_wandb_bridge import configure, set_step, training_step
from otel_wandb_bridge.testing import FakeRun


@pytest.fixture
def run():
    return FakeRun()


@pytest.fixture
def bridge(run):
    with configure(run, set_global=False, export_interval_millis=3_600_000) as bridge:
        yield bridge


def points(reader):
    """Metric name to values by attributes, of all scopes."""
    found = {}
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    attributes = [
                        value
                        for name, value in point.attributes.items()
                        if not name.startswith("otel.component.")
                    ]
                    value = point.value if hasattr(point, "value") else point.count
                    found[(scope.scope.name, metric.name, *attributes)] = value
    return found


def python(source, tmp_path):
    """Run a program of its own, since the global provider can be set once in a process."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        cwd=tmp_path,
        env={**os.environ, "WANDB_MODE": "offline", "WANDB_SILENT": "true"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


class LookingRun(FakeRun):
    """Looks, at each call, whether all is accounted for: a flush that hangs there may last for long."""

    def __init__(self):
        super().__init__()
        self.looks, self.look = [], lambda: None

    def log(self, *args, **kwargs):
        self.looks.append(self.look())
        super().log(*args, **kwargs)


def test_what_a_flush_has_not_come_to_yet_is_pending():
    """It was collected, and is neither in a row nor in anything that waits."""
    run = LookingRun()
    with configure(run, set_global=False, export_interval_millis=3_600_000) as bridge:
        run.look = lambda: bridge.stats().is_conserved()
        loss = bridge.meter_provider.get_meter("trainer").create_gauge("loss")
        for step in range(3):
            bridge.log({"a": step}, step=step, source="trainer")
        loss.set(0.5, {"step": 2, "source": "trainer"})
        bridge.force_flush()
        assert [True] * 3 == run.looks


def test_a_dict_lands_in_the_row_of_its_step(run, bridge):
    """Beside what instruments record, and with anything that W&B takes."""
    bridge.meter_provider.get_meter("trainer").create_gauge("loss").set(0.5, {"step": 3})
    bridge.log({"eval/accuracy": 0.9, "note": "good", "nan": float("inf")}, step=3, source="evaluator")
    assert bridge.force_flush()
    expected = {"loss": 0.5, "eval/accuracy": 0.9, "note": "good", "nan": float("inf"), "global_step": 3}
    assert [{"_step": 3, **expected}] == untimed(run)


def test_the_direct_lane_takes_the_ambient_step(run, bridge):
    """As instruments do."""
    with training_step(8, source="trainer"):
        bridge.log({"loss": 0.5})
    bridge.force_flush()
    assert 8 == run.rows[0]["global_step"]


def test_the_scalars_of_the_direct_lane_are_gauges_for_other_readers(run):
    """The last value of each key; and they are not written to W&B a second time."""
    other = InMemoryMetricReader()
    with configure(run, set_global=False, extra_readers=[other]) as bridge:
        bridge.log({"train loss": 0.5, "text": "no gauge"}, step=0)
        bridge.log({"train loss": 0.4}, step=1)
        bridge.force_flush()
        bridge.force_flush()
        seen = points(other)
    assert 0.4 == seen[("otel_wandb_bridge.log", "train_loss")]
    assert [0.5, 0.4] == [row["train loss"] for row in run.rows]
    assert {"_step", "train loss", "text", "global_step"} == {key for row in untimed(run) for key in row}


def test_the_law_of_conservation_is_exported(run):
    """As metrics of the bridge's own scope, for every other reader, and not to W&B."""
    other = InMemoryMetricReader()
    with configure(run, set_global=False, extra_readers=[other], late="drop") as bridge:
        bridge.log({"loss": 1.0}, step=5)
        bridge.force_flush()
        bridge.log({"loss": 2.0}, step=4)
        bridge.log({"loss": 2.0}, step="no step")
        bridge.force_flush()
        seen = {key[1:]: value for key, value in points(other).items() if key[0] == "otel_wandb_bridge"}
    ends = {key[1]: value for key, value in seen.items() if key[0] == "otel_wandb_bridge.samples"}
    assert {"written": 1, "overridden": 0, "dropped": 1, "rejected": 1, "shed": 0, "sent": 0} == ends
    assert 3 == seen[("otel_wandb_bridge.recorded",)] == sum(ends.values())
    assert {"_step", "loss", "global_step"} == set(untimed(run)[0])


def test_a_flush_happens_every_interval_even_when_no_instrument_was_touched(run):
    """The direct lane does not wait for somebody to record; the test waits for the row, not for time."""
    with configure(run, set_global=False, export_interval_millis=20) as bridge:
        bridge.log({"loss": 1.0}, step=0)
        bridge.log({"loss": 2.0}, step=1)
        wait_until(lambda: [0] == [row["global_step"] for row in run.rows])
        assert 1 == bridge.stats().pending


def test_a_full_lane_is_flushed_before_the_interval_is_over(run):
    """The high-water mark wakes the flush thread."""
    with configure(run, set_global=False, export_interval_millis=3_600_000) as bridge:
        for step in range(12_000):
            bridge.log({"loss": 1.0}, step=step)
        wait_until(lambda: len(run.rows) > 5_000)
    assert 12_000 == len(run.rows)


def test_a_full_reservoir_is_collected_before_the_interval_is_over(run):
    """For instruments too, and where nobody but the exporter knows the reader."""
    with configure(run, set_global=False, export_interval_millis=3_600_000) as bridge:
        loss = bridge.meter_provider.get_meter("trainer").create_gauge("loss")
        for step in range(70_000):
            loss.set(1.0, {"step": step // 10})
        wait_until(lambda: len(run.rows) > 6_000)
    assert 7_000 == len(run.rows)
    assert 0 == bridge.stats().shed


def test_bad_input_to_the_direct_lane_never_raises(bridge, caplog):
    """It is counted, and said once for each reason."""
    for bad in (None, 5, "text", [1]):
        bridge.log(bad, step=0)
    bridge.log({1: 2.0}, step=0)
    bridge.log({"loss": 1.0}, step="soon")
    bridge.log({"loss": 1.0, "lr": 1.0}, step=-1, priority=99)
    bridge.force_flush()
    stats = bridge.stats()
    assert {"values": 4, "key": 1, "step": 3} == dict(stats.rejected_reasons)
    assert stats.is_conserved()
    assert 3 == len([record for record in caplog.records if record.name == "otel_wandb_bridge"])


def test_what_is_logged_after_the_shutdown_is_counted_and_said_once(run, caplog):
    """And raises nothing."""
    bridge = configure(run, set_global=False)
    bridge.shutdown()
    bridge.shutdown()
    for _ in range(3):
        bridge.log({"loss": 1.0, "lr": 2.0}, step=0)
    assert {"shutdown": 6} == dict(bridge.stats().rejected_reasons)
    assert 1 == len([record for record in caplog.records if record.name == "otel_wandb_bridge"])
    assert bridge.stats().is_conserved()


def test_the_run_stays_open_when_the_bridge_is_shut_down(run, bridge):
    """It is the caller's to finish."""
    bridge.log({"loss": 1.0}, step=0)
    bridge.shutdown()
    run.log({"after": 1})
    assert [0, 1] == [row["_step"] for row in run.rows]


def test_the_resource_names_the_service(run):
    """As other telemetry of the same program does."""
    resource = Resource({"team": "alignment"})
    other = InMemoryMetricReader()
    with configure(
        run, set_global=False, service_name="grpo", resource=resource, extra_readers=[other]
    ) as bridge:
        bridge.meter_provider.get_meter("m").create_gauge("g").set(1.0)
        attributes = other.get_metrics_data().resource_metrics[0].resource.attributes
    assert ("grpo", "alignment") == (attributes["service.name"], attributes["team"])


def test_a_global_provider_is_set_and_serves_one_bridge_after_the_other(tmp_path):
    """Two runs in one program, each with a `configure` of its own."""
    source = """
        from opentelemetry import metrics
        from otel_wandb_bridge import configure
        from otel_wandb_bridge.testing import FakeRun

        first, second = FakeRun(id="1"), FakeRun(id="2")
        gauge = metrics.get_meter("trainer").create_gauge("loss")
        with configure(first):
            gauge.set(1.0, {"step": 0})
        with configure(second) as bridge:
            gauge.set(2.0, {"step": 0})
            bridge.log({"lr": 0.1}, step=0)
        for run in (first, second):
            print([{key: row[key] for key in sorted(row) if key != "_timestamp"} for row in run.rows])
    """
    expected = (
        "[{'_step': 0, 'global_step': 0, 'loss': 1.0}]\n"
        "[{'_step': 0, 'global_step': 0, 'loss': 2.0, 'lr': 0.1}]"
    )
    from opentelemetry.sdk.metrics import MeterProvider

    if hasattr(MeterProvider, "add_metric_reader"):
        assert expected == python(source, tmp_path).strip()


def test_a_global_provider_that_exists_is_joined(tmp_path):
    """Its readers and views stay as they are; where the SDK cannot add one, the error says what to do."""
    source = """
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from otel_wandb_bridge import configure
        from otel_wandb_bridge.testing import FakeRun

        other, run = InMemoryMetricReader(), FakeRun()
        provider = MeterProvider([other])
        metrics.set_meter_provider(provider)
        try:
            bridge = configure(run)
        except RuntimeError as error:
            assert not hasattr(provider, "add_metric_reader")
            assert "upgrade the SDK" in str(error)
        else:
            assert bridge.meter_provider is provider
            metrics.get_meter("trainer").create_gauge("loss").set(1.0, {"step": 4})
            bridge.shutdown()
            assert 4 == run.rows[0]["global_step"]
            metrics.get_meter("trainer").create_gauge("still").set(1.0)
            assert "still" in str(other.get_metrics_data().to_json())
        print("done")
    """
    assert "done" == python(source, tmp_path).strip()


def untimed(run):
    """The rows without the time of their measurements."""
    return [{key: value for key, value in row.items() if key != "_timestamp"} for row in run.rows]


def test_a_flush_without_a_run_says_so(caplog):
    """Nothing is committed, nothing is lost yet; the end says what is."""
    bridge = configure(None, set_global=False)
    bridge.log({"loss": 1.0}, step=0)
    assert not bridge.force_flush()
    assert 1 == bridge.stats().pending
    bridge.shutdown()
    assert 1 == bridge.stats().shed
    assert "there is no run" in caplog.text


class Unhashable(type):
    """A metaclass whose classes cannot be members of a set."""

    def __eq__(cls, other):
        return False

    __hash__ = None


class Strange(metaclass=Unhashable):
    """What a lazy proxy may do."""

    def __str__(self):
        raise RuntimeError

    __repr__ = __float__ = __index__ = __str__


def test_hostile_values_never_reach_the_caller(run, bridge):
    """Whatever they raise, wherever they stand."""
    strange = Strange()
    bridge.log({"loss": strange}, step=0)
    bridge.log({"loss": 1.0}, step=strange)
    bridge.log({"loss": 1.0}, step=0, source=strange)
    bridge.log({"loss": 1.0}, step=0, priority=strange)
    set_step(strange, source=strange)
    with training_step(strange, source=strange, priority=strange):
        bridge.log({"lr": 1.0}, step=1)
    bridge.force_flush()
    assert bridge.stats().is_conserved()
    assert 1.0 == run.rows[-1]["lr"]


def wait_until(holds, seconds=30.0):
    """Give other threads their time until something holds; the limit is for a broken promise only."""
    import threading
    import time

    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        pause.wait(0.005)
