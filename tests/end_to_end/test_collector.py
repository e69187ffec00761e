"""Workers, a Collector that does whatever Collectors may do, and one run."""

from pathlib import Path

import pytest
from ranks_job import JOB

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="a worker needs exporters from 1.29")
pytest.importorskip("starlette", reason="the receiver needs its extra")

import yaml

HERE = Path(__file__).parent
EXAMPLE = HERE.parent.parent / "examples" / "collector"


def test_whatever_a_collector_does_on_the_way_the_rows_are_the_same(run_script):
    """It merges, splits, reorders, repeats and compresses."""
    ended = run_script(
        JOB
        + f"""
sys.path.insert(0, {str(HERE)!r})
from collector_double import BEHAVIOURS, collecting, pass_on

run.finish()
with collecting() as (endpoint, queue):
    end_well(*[start(rank, 2, 0, 20, 0.02, endpoint=endpoint) for rank in range(2)])
for behaviour in BEHAVIOURS:
    run = wandb.init(project="collector", reinit=True)
    options = dict(hold=30.0, reorder=30.0, expected_sources=2, reduce={{"loss": ("mean", "per_rank")}})
    with OtlpReceiver(run, port=0, **options) as receiver:
        pass_on(behaviour(queue), receiver.metrics_endpoint)
    stats = receiver.stats()
    report(behaviour=behaviour.__name__, run=run.id, conserved=stats.is_conserved(), late=stats.late)
    run.finish()
"""
    ).ended_well()
    assert 6 == len(ended.reports)
    for told in ended.reports:
        run = ended.runs[told["run"]]
        assert (True, 0) == (told["conserved"], told["late"]), told
        assert list(range(20)) == run.steps(), told
        assert {step: step + 0.5 for step in range(20)} == run.series("loss"), told
        assert {step: (step + 1) * 11 for step in range(20)} == run.series("tokens"), told
        assert dict.fromkeys(range(20), 2) == run.series("latency/count"), told
        assert {step: step * 10 + 0.5 for step in range(20)} == run.series("Eval/top-1"), told


def configuration():
    """The example's."""
    return yaml.safe_load((EXAMPLE / "collector.yaml").read_text())


def test_the_examples_collector_keeps_what_it_has_acknowledged():
    """Its queue is on disk, blocks when it is full, and is tried for ever."""
    (exporter,) = configuration()["exporters"].values()
    queue, retry = exporter["sending_queue"], exporter["retry_on_failure"]
    assert (True, True) == (queue["enabled"], queue["block_on_overflow"])
    assert queue["storage"] in configuration()["service"]["extensions"]
    assert configuration()["extensions"][queue["storage"]]["fsync"] is True
    assert (True, "0s") == (retry["enabled"], retry["max_elapsed_time"])


def test_the_examples_collector_has_nothing_that_loses_exemplars():
    """Everything that is named is defined, and there is no processor on the way."""
    (pipeline,) = configuration()["service"]["pipelines"].values()
    assert "processors" not in pipeline
    assert set(pipeline["receivers"]) == set(configuration()["receivers"])
    assert set(pipeline["exporters"]) == set(configuration()["exporters"])


def test_the_examples_compose_file_names_what_is_there():
    """Files, services and volumes."""
    compose = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())
    assert {"rank0", "collector", "worker"} == set(compose["services"])
    assert (EXAMPLE / "collector.yaml").exists()
    for service in compose["services"].values():
        assert set(service.get("depends_on", ())) <= set(compose["services"])
    assert (EXAMPLE.parent / "rollout_worker.py").exists()
    from otel_wandb_bridge.cli.serve import serve

    known = {parameter.envvar for parameter in serve.params}
    for name in compose["services"]["rank0"]["environment"]:
        assert name.startswith("WANDB_") or name in known
