"""A worker: `configure(endpoint=…)` sends what is recorded to the process that owns the run."""

import json
import math
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from foreign_aggregation import ForeignAggregation
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from receiver_double import attributes_of

from otel_wandb_bridge import configure, step_aggregation, training_step
from otel_wandb_bridge.reader import BridgeReader
from otel_wandb_bridge.send import Sender
from otel_wandb_bridge.send.transport import exporter_to
from otel_wandb_bridge.shared_options import base_url

# Those of 1.28, which the lowest SDK goes with, cannot encode exemplars without a span.
pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="a worker needs exporters from 1.29")


def worker(receiver, **options):
    """A bridge of its own provider."""
    return configure(endpoint=receiver.endpoint, set_global=False, **options)


def test_every_measurement_arrives_with_its_step(receiver):
    """Recorded as anywhere else: by attribute, ambient, on the clock, or without any."""
    with worker(receiver) as bridge:
        meter = bridge.meter_provider.get_meter("trainer")
        loss, tokens = meter.create_gauge("loss"), meter.create_counter("tokens")
        loss.set(0.5)
        for step in range(100):
            with training_step(step):
                loss.set(step / 10)
                tokens.add(7)
        assert bridge.force_flush()
        stats = bridge.stats()
    assert [(False, 0.5)] + [(step, step / 10) for step in range(100)] == receiver.samples("loss")
    assert [(step, 7) for step in range(100)] == receiver.samples("tokens")
    assert stats.is_conserved()
    assert 201 == stats.sent == stats.recorded


def test_the_resource_says_which_process_of_the_job_it_is(receiver, monkeypatch):
    """By the semantic conventions, and torchrun's variables."""
    for name, value in {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    with worker(receiver, service_name="train") as bridge:
        bridge.meter_provider.get_meter("trainer").create_gauge("loss").set(1.0)
    resource = next(receiver.points())[0]
    assert ("train", 3, 8, 1) == (
        resource["service.name"],
        resource["training.rank"],
        resource["training.world_size"],
        resource["training.local_rank"],
    )
    assert os.getpid() == resource["process.pid"]
    assert resource["service.instance.id"]
    assert resource["host.name"]


def test_what_the_environment_says_of_the_process_goes_before_what_is_found(receiver, monkeypatch):
    """`OTEL_RESOURCE_ATTRIBUTES` keeps its meaning."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=mine")
    with worker(receiver) as bridge:
        bridge.meter_provider.get_meter("trainer").create_gauge("loss").set(1.0)
    assert "mine" == next(receiver.points())[0]["service.instance.id"]


def test_an_instrument_that_cannot_be_collected_keeps_no_other_from_being_sent(receiver, caplog):
    """It is left out by name, and counted."""
    sender = Sender(exporter_to(receiver.endpoint), Resource({}))
    reader = BridgeReader(sender, math.inf, sender.leave_out)
    views = [View(instrument_name="latency", aggregation=ForeignAggregation())]
    meter = MeterProvider([reader], views=views, shutdown_on_exit=False).get_meter("trainer")
    meter.create_histogram("latency").record(3, {"step": 1})
    meter.create_counter("tokens").add(7, {"step": 1})
    reader.collect()
    sender.shutdown()
    assert [(1, 7)] == receiver.samples("tokens")
    assert ({"aggregation": 1}, True) == (sender.stats().rejected_reasons, sender.stats().is_conserved())
    assert "instrument 'latency': the SDK does not know the aggregation of its view" in caplog.text


def test_the_numbers_of_log_cross_with_step_source_and_priority(receiver):
    """Under their keys as they are, NaN and infinities too."""
    with worker(receiver) as bridge:
        bridge.log({"Eval/acc.top-1": 0.5, "n": 2**70}, step=3, source="evaluator", priority=1)
        bridge.log({"Eval/acc.top-1": float("inf")}, step=4, source="evaluator")
        assert bridge.force_flush()
        stats = bridge.stats()
    points = {metric.name: (scope, point) for _, scope, metric, point in receiver.points()}
    scope, point = points["Eval/acc.top-1"]
    assert "otel_wandb_bridge.sent" == scope
    assert {"source": "evaluator"} == attributes_of(point.attributes)
    first, second = (attributes_of(each.filtered_attributes) for each in point.exemplars)
    assert {"wandb.step": 3, "priority": 1} == first
    assert {"wandb.step": 4} == second
    assert [(3, 0.5), (4, float("inf"))] == receiver.samples("Eval/acc.top-1")
    assert [(3, 2.0**70)] == receiver.samples("n")
    assert stats.is_conserved()


@pytest.mark.parametrize("value", ["text", None, [1.0], {"a": 1.0}, object()])
def test_media_on_a_worker_is_a_clear_error_and_the_numbers_beside_it_are_taken(receiver, value):
    """It says what came, and where to log it."""
    with worker(receiver) as bridge:
        with pytest.raises(TypeError, match=r"takes numbers.*'image'.*owns the run") as error:
            bridge.log({"loss": 1.0, "image": value}, step=0)
        assert type(value).__name__ in str(error.value)
        assert bridge.force_flush()
    assert [(0, 1.0)] == receiver.samples("loss")


def test_a_receiver_that_is_away_neither_slows_nor_stops_anything_and_gets_all_when_it_is_back(receiver):
    """What is recorded meanwhile waits."""
    receiver.answer = 503
    with worker(receiver, export_interval_millis=50) as bridge:
        loss = bridge.meter_provider.get_meter("trainer").create_gauge("loss")
        for step in range(20):
            loss.set(float(step), {"step": step})
            assert bridge._exporter.collect()  # does not wait for the network
        assert not bridge.force_flush(10)
        assert 20 == bridge.stats().pending
        assert bridge.stats().is_conserved()
        receiver.answer = 200
        assert bridge.force_flush(30_000)
    assert [(step, float(step)) for step in range(20)] == receiver.samples("loss")


def test_what_could_not_be_sent_is_counted(monkeypatch, caplog):
    """Nobody listens: the program ends in time, and says how much is lost."""
    monkeypatch.setattr("otel_wandb_bridge.send.sender.EXIT_SECONDS", 0.2)
    bridge = configure(endpoint="http://127.0.0.1:9", set_global=False)
    loss = bridge.meter_provider.get_meter("trainer").create_gauge("loss")
    for step in range(50):
        loss.set(float(step), {"step": step})
    bridge.log({"key": 1.0}, step=1)
    bridge.shutdown()
    stats = bridge.stats()
    assert 51 == stats.shed
    assert (0, 0) == (stats.sent, stats.pending)
    assert stats.is_conserved()
    assert "not acknowledged by the receiver in time" in caplog.text
    bridge.log({"key": 1.0}, step=2)
    loss.set(1.0, {"step": 60})
    assert bridge.stats().is_conserved()


@pytest.mark.parametrize(("status", "hint"), [(401, "check the token"), (404, "check the endpoint")])
def test_a_receiver_that_refuses_is_said_once_and_not_waited_for(receiver, caplog, status, hint):
    """No flush and no end waits; should the receiver think better of it, everything is there."""
    receiver.answer = status
    with worker(receiver) as bridge:
        bridge.log({"loss": 1.0}, step=0)
        began = time.monotonic()
        assert not bridge.force_flush(60_000)
        bridge.log({"loss": 2.0}, step=1)
        assert not bridge.force_flush(60_000)
        assert time.monotonic() - began < 20
        assert (2, 0) == (bridge.stats().pending, bridge.stats().sent)
        (said,) = [line for line in caplog.messages if line.startswith("receiver: ")]
        assert said.startswith(f"receiver: refused: it answers {status}: {hint}")
        receiver.answer = 200
        assert bridge.force_flush(30_000)
    # The second may be taken first, to tell whether the first is at fault. The receiver puts them in order.
    assert [(0, 1.0), (1, 2.0)] == sorted(receiver.samples("loss"))


@pytest.mark.parametrize("status", [400, 413])
def test_a_request_that_is_refused_for_good_does_not_stop_the_road(receiver, caplog, status):
    """It is not sent again, as OTLP has it; its samples are counted and said, and what follows goes."""
    receiver.answers = [status, status]
    with worker(receiver) as bridge:
        bridge.log({"loss": 1.0, "accuracy": 0.5}, step=0)
        bridge.force_flush(60_000)
        bridge.log({"loss": 2.0}, step=1)
        bridge.force_flush(60_000)
        bridge.log({"loss": 3.0}, step=2)
        assert bridge.force_flush(60_000)
    stats = bridge.stats()
    assert ({"refused": 3}, 1, 0) == (dict(stats.rejected_reasons), stats.sent, stats.shed)
    assert stats.is_conserved()
    (said,) = [line for line in caplog.messages if line.startswith("refused: ")]
    assert f"it answers {status}: " in said
    assert [(2, 3.0)] == receiver.samples("loss")


def test_what_was_refused_until_the_end_is_counted(receiver, caplog):
    """At once, with the reason."""
    receiver.answer = 401
    bridge = worker(receiver)
    bridge.log({"loss": 1.0, "accuracy": 0.5}, step=0)
    began = time.monotonic()
    bridge.shutdown()
    assert time.monotonic() - began < 5
    stats = bridge.stats()
    assert (2, 0, 0) == (stats.shed, stats.sent, stats.pending)
    assert stats.is_conserved()
    assert "not acknowledged by the receiver (it answers 401: check the token" in caplog.text


def test_a_large_request_is_not_given_up_because_a_busy_receiver_takes_a_small_one(receiver, monkeypatch):
    """It says that all may come again."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    receiver.answer = lambda body: 503 if len(body) > 5_000 else 200
    with worker(receiver, export_interval_millis=60_000) as bridge:
        for step in range(1_000):
            bridge.log({"large": float(step)}, step=step)
        assert not bridge.force_flush(10)
        bridge.log({"small": 1.0}, step=0)
        assert not bridge.force_flush(4_000)
        receiver.answer = 200
        assert bridge.force_flush(30_000)
        assert (1_001, 0) == (bridge.stats().sent, bridge.stats().rejected)


def test_a_receiver_that_is_busy_has_not_refused(receiver, caplog):
    """503, as 429, is worth waiting for."""
    receiver.answers = [429, 503]
    with worker(receiver) as bridge:
        bridge.log({"loss": 1.0}, step=0)
        assert bridge.force_flush(60_000)
    assert [] == [line for line in caplog.messages if "refused" in line]


def test_a_collection_beyond_a_mebibyte_goes_in_several_requests(receiver):
    """Each below four, no data point beyond one, and nothing missing."""
    with worker(receiver, export_interval_millis=60_000) as bridge:
        loss = bridge.meter_provider.get_meter("trainer").create_gauge("loss")
        for step in range(60_000):
            loss.set(float(step), {"step": step})
        assert bridge.force_flush()
    assert sorted((step, float(step)) for step in range(60_000)) == sorted(receiver.samples("loss"))
    assert all(len(body) < 4 * 2**20 for body in receiver.bodies)
    assert all(point.ByteSize() < 2**20 for *_, point in receiver.points())


def test_a_worker_joins_the_global_provider_that_exists(receiver):
    """And adds to its resource what it does not say of this process."""
    script = f"""
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.resources import Resource
        from otel_wandb_bridge import configure, step_views

        app = Resource({{"service.name": "app"}})
        metrics.set_meter_provider(MeterProvider(resource=app, views=step_views()))
        bridge = configure(endpoint={receiver.endpoint!r})
        metrics.get_meter("trainer").create_gauge("loss").set(0.5, {{"step": 3}})
        """
    if not hasattr(metrics_provider_class(), "add_metric_reader"):
        pytest.skip("opentelemetry-sdk before 1.43 cannot add a reader to a global provider")
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)
    assert [(3, 0.5)] == receiver.samples("loss")
    resource = next(receiver.points())[0]
    assert "app" == resource["service.name"]
    assert resource["service.instance.id"]


def metrics_provider_class():
    from opentelemetry.sdk.metrics import MeterProvider

    return MeterProvider


def test_a_worker_imports_no_wandb_and_sends_what_is_left_when_it_ends(receiver):
    """By the environment alone, without a flush."""
    script = """
        import json, sys
        from opentelemetry import metrics
        from otel_wandb_bridge import configure, set_step

        bridge = configure()
        loss = metrics.get_meter("trainer").create_gauge("loss")
        for step in range(5):
            set_step(step)
            loss.set(step / 2)
        print(json.dumps("wandb" in sys.modules))
        """
    environment = {**os.environ, "OTEL_WANDB_ENDPOINT": receiver.endpoint, "RANK": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        check=True,
        timeout=60,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert json.loads(ended.stdout) is False
    assert [(step, step / 2) for step in range(5)] == receiver.samples("loss")
    assert 1 == next(receiver.points())[0]["training.rank"]


@pytest.mark.skipif(os.name != "posix", reason="elsewhere no handler is set")
def test_a_signal_that_ends_a_worker_loses_nothing(receiver):
    """What was recorded is sent first; then it ends by the same signal."""
    script = f"""
        import os, signal
        from opentelemetry import metrics
        from otel_wandb_bridge import configure

        configure(endpoint={receiver.endpoint!r}, export_interval_millis=60_000)
        loss = metrics.get_meter("trainer").create_gauge("loss")
        for step in range(5):
            loss.set(step / 2, {{"step": step}})
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
        """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], timeout=60)
    assert -15 == ended.returncode
    assert [(step, step / 2) for step in range(5)] == receiver.samples("loss")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_forked_child_is_a_process_of_its_own(receiver):
    """It sends nothing of its parent's, and under an instance id of its own."""
    script = f"""
        import os
        from otel_wandb_bridge import configure

        bridge = configure(endpoint={receiver.endpoint!r}, export_interval_millis=60_000)
        loss = bridge.meter_provider.get_meter("trainer").create_gauge("loss")
        loss.set(0.0, {{"step": 0}})
        if os.fork() == 0:
            loss.set(1.0, {{"step": 1}})
            bridge.force_flush()
            os._exit(0)
        os.wait()
        loss.set(2.0, {{"step": 2}})
        """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)
    assert [(0, 0.0), (1, 1.0), (2, 2.0)] == sorted(receiver.samples("loss"))
    instances = {
        exemplar.as_double: (resource["service.instance.id"], resource["process.pid"])
        for resource, _, metric, point in receiver.points()
        if metric.name == "loss"
        for exemplar in point.exemplars
    }
    assert instances[0.0] == instances[2.0] != instances[1.0]
    assert instances[0.0][1] != instances[1.0][1]


def test_the_plain_otlp_exporter_with_our_aggregation_carries_the_steps_too(receiver, monkeypatch):
    """`OTEL_EXPORTER_OTLP_ENDPOINT` and one argument."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(preferred_aggregation=step_aggregation()))
    provider = MeterProvider([reader], shutdown_on_exit=False)
    loss = provider.get_meter("trainer").create_gauge("loss")
    for step in range(10):
        loss.set(step / 2, {"step": step})
    provider.shutdown()
    assert [(step, step / 2) for step in range(10)] == sorted(receiver.samples("loss"))


def test_threads_that_record_while_it_is_collected_and_sent_lose_nothing(receiver):
    """Every measurement once."""
    with worker(receiver, export_interval_millis=10) as bridge:
        counter = bridge.meter_provider.get_meter("trainer").create_counter("tokens")

        def record(first):
            for step in range(first, first + 2_000):
                counter.add(1, {"step": step})
                if step % 10 == 0:
                    bridge.log({"key": step}, step=step)

        threads = [threading.Thread(target=record, args=(number * 2_000,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert bridge.force_flush()
    assert bridge.stats().is_conserved()
    assert [(step, 1) for step in range(6_000)] == sorted(receiver.samples("tokens"))
    assert [(step, step) for step in range(0, 6_000, 10)] == sorted(receiver.samples("key"))


@pytest.mark.parametrize(
    "endpoint", ["rank0:4318", "", "http://", "ftp://rank0:4318", "http://rank0:port", 4318, "rank0"]
)
def test_an_endpoint_that_cannot_be_used_is_refused_with_what_came(endpoint):
    """At once."""
    with pytest.raises((TypeError, ValueError), match=r"endpoint must be the base URL") as refused:
        configure(endpoint=endpoint, set_global=False)
    assert repr(endpoint) in str(refused.value)


def test_an_endpoint_is_a_base_url():
    """With or without a slash, or the whole path of the metrics."""
    assert "http://rank0:4318" == base_url(" http://rank0:4318/ ")
    assert "https://rank0" == base_url("https://rank0")


@pytest.mark.parametrize("protocol", ["http", "http/json", "udp"])
def test_a_protocol_that_is_not_supported_is_refused(protocol):
    """By name."""
    with pytest.raises(ValueError, match="protocol must be"):
        exporter_to("http://rank0:4318", protocol=protocol)


@pytest.mark.parametrize("headers", ["authorization=secret", ["a"], {"a": 1}, {1: "a"}])
def test_headers_that_are_no_mapping_of_texts_are_refused(headers):
    """With what came, but for a text: it may be a secret."""
    with pytest.raises(TypeError, match="headers must map names to texts, such as") as refused:
        exporter_to("http://rank0:4318", headers=headers)
    assert "secret" not in str(refused.value)


def test_what_a_worker_cannot_decide_is_refused_by_name(receiver):
    """Rows are made where the run is."""
    with pytest.raises(TypeError, match="hold is for the process that owns the run"):
        worker(receiver, hold=1.0)
    with pytest.raises(TypeError, match="unknown option 'color'"):
        worker(receiver, color="red")
    with pytest.raises(TypeError, match="leave one of them out"):
        configure(metrics, endpoint=receiver.endpoint, set_global=False)
    with pytest.raises(ValueError, match="max_pending"):
        worker(receiver, max_pending=0)


def test_a_missing_exporter_prints_the_command_that_installs_it(monkeypatch):
    """Optional parts are extras."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.metric_exporter", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install .otel-wandb-bridge\[worker\]"):
        exporter_to("http://rank0:4318", protocol="http/protobuf")
