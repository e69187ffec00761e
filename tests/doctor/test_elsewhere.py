"""The doctor finds what is recorded where the bridge does not read, and knows a worker."""

import socket
from importlib import metadata

import pytest

SECOND = """
    import wandb
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from otel_wandb_bridge import configure

    bridge = configure(wandb.init(project="demo"))
    bridge.log({{"loss": 1}}, step=0)
    mine = MeterProvider({readers})
    mine.get_meter("trainer").create_gauge("reward").set(1, {{"step": 0}})
    """


needs_exporters = pytest.mark.skipif(
    not metadata.entry_points(group="opentelemetry_metrics_exporter", name="otlp_proto_http"),
    reason="a worker needs exporters from 1.29",
)


@pytest.mark.parametrize(("readers", "state"), [("", "trouble"), ("[InMemoryMetricReader()]", "note")])
def test_instruments_of_another_provider_are_named(examine, readers, state):
    """As trouble where nobody reads them at all."""
    found = examine(SECOND.format(readers=readers), code=int(state == "trouble"))["other provider"]
    assert (state, True) == (found.state, "1 instrument (reward)" in found.text)
    assert "metrics.get_meter()" in found.mend


def test_instruments_of_the_bridge_are_not_elsewhere(examine):
    """Nor those of a bridge that was shut down."""
    found = examine(
        """
        import wandb
        from opentelemetry import metrics
        from otel_wandb_bridge import configure

        kept = []
        for _ in range(2):
            with wandb.init(project="demo") as run, configure(run, set_global=False) as bridge:
                kept.append(bridge.meter_provider.get_meter("trainer").create_gauge("loss"))
                kept[-1].set(1, {"step": 0})
        bridge = configure(wandb.init(project="demo"))
        kept.append(metrics.get_meter("trainer").create_gauge("loss"))
        """
    )
    assert "other provider" not in found


def test_that_nothing_was_recorded_is_noted(examine):
    """A bridge was made for something."""
    found = examine("import wandb, otel_wandb_bridge as o; o.configure(wandb.init(project='demo'))")
    assert ("note", True) == (found["samples"].state, "nothing has been recorded" in found["samples"].text)


WORKER = """
    from opentelemetry import metrics
    from otel_wandb_bridge import configure

    bridge = configure()
    metrics.get_meter("worker").create_gauge("reward").set(1, {"step": 0})
    """

IMPATIENT = """
    from otel_wandb_bridge.send import sender

    sender.EXIT_SECONDS = 0.1
    """


@needs_exporters
def test_a_worker_has_no_run_and_no_other_bridge(examine):
    """It sends to the process that owns the run; that answers here, and takes all."""
    from otel_wandb_bridge import OtlpReceiver
    from otel_wandb_bridge.testing import FakeRun

    with OtlpReceiver(FakeRun(), port=0) as receiver:
        endpoint = receiver.endpoint
        found = examine(WORKER, OTEL_WANDB_ENDPOINT=endpoint)
    assert ("fine", True) == (found["worker"].state, endpoint in found["worker"].text)
    assert "fine" == found["meter provider"].state
    assert "1 recorded, 1 acknowledged by the receiver, 0 waiting" == found["samples"].text
    assert not {"run", "left"} & set(found)


@needs_exporters
def test_a_worker_whose_receiver_does_not_answer_is_trouble(examine):
    """What it has recorded is lost when it ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
        found = examine(IMPATIENT + WORKER, code=1, OTEL_WANDB_ENDPOINT=endpoint)
    assert ("trouble", True) == (found["worker"].state, "nobody answers there" in found["worker"].text)
    assert ("trouble", True) == (found["left"].state, "not acknowledged" in found["left"].text)


SHUT_DOWN = """
    import wandb
    from otel_wandb_bridge import configure

    with wandb.init(project="demo") as run:
        bridge = configure(run)
        bridge.log({"loss": 1}, step=0)
        bridge.shutdown()
    """


@needs_exporters
def test_what_a_worker_gave_up_is_mended_at_its_receiver(examine):
    """It has no run to make earlier."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
        script = IMPATIENT + WORKER + "\n    bridge.shutdown()"
        found = examine(script, code=1, OTEL_WANDB_ENDPOINT=endpoint)["shed"]
    assert ("trouble", True) == (found.state, "the receiver" in found.mend)


def test_a_bridge_that_was_shut_down_is_not_missed(examine):
    """It is judged by what became of its samples, as is a worker."""
    found = examine(SHUT_DOWN)
    assert ("fine", False) == (found["bridge"].state, "meter provider" in found)
    assert "1 recorded, 1 written in 1 row, 0 waiting" == found["samples"].text


@needs_exporters
def test_a_worker_that_was_shut_down_is_not_missed(examine):
    """Its receiver has taken all."""
    from otel_wandb_bridge import OtlpReceiver
    from otel_wandb_bridge.testing import FakeRun

    with OtlpReceiver(FakeRun(), port=0) as receiver:
        found = examine(WORKER + "\n    bridge.shutdown()", OTEL_WANDB_ENDPOINT=receiver.endpoint)
    assert not [each for each in found.values() if each.state != "fine"]
