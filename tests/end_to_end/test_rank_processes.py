"""Several ranks in real processes, one real offline run."""

import pytest
from ranks_job import JOB, REPORT

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="a worker needs exporters from 1.29")
pytest.importorskip("starlette", reason="the receiver needs its extra")


@pytest.mark.parametrize("ranks", [2, pytest.param(4, marks=pytest.mark.long)])
def test_what_all_ranks_report_is_one_row_a_step(run_script, ranks):
    """In order, every step once, reduced as declared; at different speeds."""
    ended = run_script(
        JOB
        + f"""
options = dict(hold=30.0, expected_sources={ranks}, reduce={{"loss": ("mean", "max")}})
with OtlpReceiver(run, port=0, **options) as receiver:
    workers = [start(rank, {ranks}, 0, 30, 0.002 * rank) for rank in range({ranks})]
    end_well(*workers)
"""
        + REPORT
    ).ended_well()
    ((facts),) = ended.reports
    assert facts == {"recorded": ranks * 30 * 4, "late": 0, "conserved": True, "pending": 0}
    run = ended.run
    assert list(range(30)) == run.steps()
    middle = (ranks - 1) / 2
    assert {step: step + middle for step in range(30)} == run.series("loss")
    assert {step: step + ranks - 1 for step in range(30)} == run.series("loss/max")
    everybody = sum(10**rank for rank in range(ranks))
    assert {step: (step + 1) * everybody for step in range(30)} == run.series("tokens")
    assert dict.fromkeys(range(30), ranks) == run.series("latency/count")
    assert {step: step * 10 for step in range(30)} == run.series("Eval/top-1/min")
    assert {} == run.series("bridge/ranks")


def test_the_workers_say_how_many_they_are(run_script):
    """The serving process has no `WORLD_SIZE`, and nobody said who is expected; one rank comes much later."""
    ended = run_script(
        JOB
        + """
with OtlpReceiver(run, port=0, hold=30.0, reduce={"loss": "mean"}) as receiver:
    end_well(start(0, 2, 0, 20, 0))
    assert 0 == receiver.stats().rows
    end_well(start(1, 2, 0, 20, 0))
"""
        + REPORT
    ).ended_well()
    assert [{"recorded": 160, "late": 0, "conserved": True, "pending": 0}] == ended.reports
    assert list(range(20)) == ended.run.steps()
    assert {step: step + 0.5 for step in range(20)} == ended.run.series("loss")


@pytest.mark.long
def test_a_rank_that_is_killed_delays_a_row_by_hold_once(run_script):
    """The others go on, and the rows say how many ranks are left."""
    ended = run_script(
        JOB
        + """
with OtlpReceiver(run, port=0, hold=3.0, reorder=0.0, expected_sources=3) as receiver:
    assert start(1, 3, 0, 100, 0, 9).wait(60) < 0
    workers = [start(rank, 3, 0, 90, 0.1) for rank in (0, 2)]
    wait_until(lambda: receiver.stats().rows > 15)
    report(are_training=[worker.poll() is None for worker in workers])
    end_well(*workers)
"""
        + REPORT
    ).ended_well()
    training, facts = ended.reports
    assert {"are_training": [True, True]} == training
    assert facts["conserved"]
    run = ended.run
    assert list(range(90)) == sorted(set(run.steps()))
    assert {2} == {row["bridge/ranks"] for row in run.rows if row["global_step"] > 12}
    assert 90 * 101 + 10 * 10 == run.rows[-1]["tokens"]


def test_a_rank_that_is_restarted_takes_its_place_again(run_script):
    """Under a new instance id, from the step of its checkpoint; what it repeats replaces what it had said."""
    ended = run_script(
        JOB
        + """
options = dict(hold=30.0, expected_sources=2, reduce={"loss": "mean", "tokens": "per_rank"})
with OtlpReceiver(run, port=0, **options) as receiver:
    killed = start(1, 2, 0, 100, 0, 9)
    assert killed.wait(60) < 0
    end_well(start(1, 2, 5, 30, 0))
    end_well(start(0, 2, 0, 30, 0))
"""
        + REPORT
    ).ended_well()
    assert ended.reports[0]["conserved"]
    run = ended.run
    assert list(range(30)) == run.steps()
    assert {step: step + 0.5 for step in range(30)} == run.series("loss")
    assert 35 * 10 == run.series("rank_1/tokens")[29]


@pytest.mark.long
def test_a_rank_that_is_late_is_written_at_its_own_steps(run_script):
    """After `hold`, the others do not wait; nothing of it is lost."""
    ended = run_script(
        JOB
        + """
options = dict(hold=0.2, reorder=0.0, expected_sources=2, reduce={"loss": ("count", "per_rank")})
with OtlpReceiver(run, port=0, **options) as receiver:
    end_well(start(0, 2, 0, 20, 0))
    wait_until(lambda: receiver.stats().rows >= 18)
    end_well(start(1, 2, 0, 20, 0))
"""
        + REPORT
    ).ended_well()
    (facts,) = ended.reports
    assert facts["conserved"]
    assert facts["late"] > 0
    run = ended.run
    last = {}
    for row in run.rows:
        last.setdefault(row["global_step"], {}).update(row)
    for step in range(20):
        assert (2, step, step + 1) == tuple(last[step][key] for key in ("loss", "rank_0/loss", "rank_1/loss"))
    assert 20 * 11 == max(row["tokens"] for row in run.rows)


def test_rank_zero_reports_like_every_other(run_script):
    """`configure(run, receiver=…)`: its own values are shares, too; the world size is torchrun's."""
    ended = run_script(
        JOB
        + """
os.environ.update({"RANK": "0", "WORLD_SIZE": "2"})
receiver = OtlpReceiver(port=0)
options = dict(hold=30.0, reduce={"loss": ("mean", "per_rank")})
bridge = configure(run, receiver=receiver, export_interval_millis=30, **options)
worker = start(1, 2, 0, 20, 0)
loss = metrics.get_meter("trainer").create_gauge("loss")
for step in range(20):
    loss.set(float(step), {"step": step})
    bridge.log({"Eval/top-1": step}, step=step)
end_well(worker)
bridge.shutdown()
"""
        + REPORT
    ).ended_well()
    assert ended.reports[0]["conserved"]
    run = ended.run
    assert list(range(20)) == run.steps()
    assert {step: step + 0.5 for step in range(20)} == run.series("loss")
    assert {step: float(step) for step in range(20)} == run.series("rank_0/loss")
    assert {step: (step + step * 10 + 1) / 2 for step in range(20)} == run.series("Eval/top-1")


def test_rank_zero_may_have_been_set_up_by_the_environment(run_script):
    """`OTEL_METRICS_EXPORTER=wandb` has made the exporter, which learns that it is a rank."""
    ended = run_script(
        """
import os
os.environ.update({
    "OTEL_RESOURCE_ATTRIBUTES": "training.rank=0,training.world_size=2,service.name=job",
    "OTEL_WANDB_HOLD": "30", "OTEL_WANDB_REDUCE": "loss=mean|per_rank",
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "system_metrics",  # they have no step
    "OTEL_METRICS_EXPORTER": "wandb", "OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none",
})
from opentelemetry.instrumentation.auto_instrumentation import initialize
initialize()
for name in ("OTEL_METRICS_EXPORTER", "OTEL_WANDB_HOLD", "OTEL_WANDB_REDUCE", "OTEL_EXPORTER_OTLP_PROTOCOL"):
    os.environ.pop(name, None)  # neither for the worker, nor for `configure`; a distribution sets the last
"""
        + JOB
        + """
receiver = OtlpReceiver(port=0)
bridge = configure(receiver=receiver)
del os.environ["OTEL_RESOURCE_ATTRIBUTES"]
worker = start(1, 2, 0, 20, 0, OTEL_SERVICE_NAME="job")
loss = metrics.get_meter("trainer").create_gauge("loss")
for step in range(20):
    loss.set(float(step), {"step": step})
end_well(worker)
bridge.force_flush()
"""
        + REPORT
    ).ended_well()
    assert ended.reports[0]["conserved"]
    run = ended.run
    assert list(range(20)) == run.steps()
    assert {step: step + 0.5 for step in range(20)} == run.series("loss")
    assert {step: float(step) for step in range(20)} == run.series("rank_0/loss")


def test_the_receiver_may_be_away_for_a_while(run_script):
    """Workers start before it listens; nothing is lost."""
    ended = run_script(
        JOB
        + """
import socket
with socket.create_server(("127.0.0.1", 0)) as nobody:
    port = nobody.getsockname()[1]
    workers = [start(rank, 2, 0, 20, 0.01, endpoint=f"http://127.0.0.1:{port}") for rank in range(2)]
    for _ in workers:
        nobody.accept()[0].close()  # they knock, and nobody answers
with OtlpReceiver(run, port=port, hold=30.0, expected_sources=2) as receiver:
    end_well(*workers)
"""
        + REPORT
    )
    assert 0 == ended.code
    assert ended.reports[0]["conserved"]
    assert {step: step + 0.5 for step in range(20)} == ended.run.series("loss")


STOCK = """
import os, sys
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from otel_wandb_bridge import step_aggregation, step_views, training_step

if sys.argv[1] == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
else:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
resource, exporter = Resource.create(), OTLPMetricExporter(preferred_aggregation=step_aggregation())
reader = PeriodicExportingMetricReader(exporter, export_interval_millis=200)
provider = MeterProvider([reader], resource=resource, views=step_views())
meter, rank = provider.get_meter("trainer"), int(os.environ["RANK"])
loss, tokens = meter.create_gauge("loss"), meter.create_counter("tokens")
for step in range(30):
    with training_step(step):
        loss.set(step + rank)
        tokens.add(10 ** rank)
provider.shutdown()
assert "wandb" not in sys.modules
"""


def test_stock_exporters_over_http_and_grpc_need_our_aggregation_alone(run_script):
    """Which process it is, our resource detector says; everything else is OpenTelemetry's own."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc", reason="the OTLP/gRPC exporter is needed")
    ended = run_script(
        JOB
        + f"""
options = dict(hold=30.0, expected_sources=2, reduce={{"loss": ("mean", "per_rank")}})
with OtlpReceiver(run, port=0, grpc_port=0, **options) as receiver:
    endpoints = ["http://" + receiver.grpc_endpoint, receiver.endpoint]
    workers = []
    for rank, (protocol, endpoint) in enumerate(zip(["grpc", "http/protobuf"], endpoints)):
        environment = {{
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "otel,training",
            "RANK": str(rank),
            "WORLD_SIZE": "2",
        }}
        workers.append(subprocess.Popen([sys.executable, "-c", {STOCK!r}, protocol], env=environment))
    end_well(*workers)
"""
        + REPORT
    ).ended_well()
    assert [{"recorded": 120, "late": 0, "conserved": True, "pending": 0}] == ended.reports
    run = ended.run
    assert list(range(30)) == run.steps()
    assert {step: step + 0.5 for step in range(30)} == run.series("loss")
    assert {step: step + 1 for step in range(30)} == run.series("rank_1/loss")
    assert {step: (step + 1) * 11 for step in range(30)} == run.series("tokens")


@pytest.mark.long
def test_workers_send_over_grpc_too(run_script):
    """`OTEL_EXPORTER_OTLP_PROTOCOL=grpc`."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc", reason="the OTLP/gRPC exporter is needed")
    ended = run_script(
        JOB
        + """
with OtlpReceiver(run, port=0, grpc_port=0, hold=30.0, expected_sources=2) as receiver:
    grpc = dict(endpoint="http://" + receiver.grpc_endpoint, OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    end_well(*[start(rank, 2, 0, 20, 0.01, **grpc) for rank in range(2)])
"""
        + REPORT
    ).ended_well()
    assert [{"recorded": 160, "late": 0, "conserved": True, "pending": 0}] == ended.reports
    assert {step: step + 0.5 for step in range(20)} == ended.run.series("loss")
    assert {step: (step + 1) * 11 for step in range(20)} == ended.run.series("tokens")
