"""What was acknowledged survives a SIGKILL of the receiver, offline and online."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request

import pytest
from conftest import SURROUNDINGS
from wandb_double import WandbDouble

from otel_wandb_bridge.testing import read_rows

STEPS = 300
RANKS = 4

RECEIVER = """
import sys
import wandb
from otel_wandb_bridge import OtlpReceiver

run = wandb.init(project="receiver", id="killed", resume="allow")
receiver = OtlpReceiver(run, port=int(sys.argv[1]), journal="journal.sqlite", reorder=0.2, expected_sources=4)
receiver.start()
sys.stdin.readline()
receiver.stop()
print(receiver.stats().is_conserved())
run.finish()
"""

RANK = """
import sys, time, urllib.error, urllib.request
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from otel_wandb_bridge import step_aggregation, step_views

url, rank, steps, pause = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
aggregation = step_aggregation()
delta = dict.fromkeys(aggregation, AggregationTemporality.DELTA)
reader = InMemoryMetricReader(preferred_aggregation=aggregation, preferred_temporality=delta)
resource = Resource({"service.name": "train", "service.instance.id": f"i{rank}", "training.rank": rank})
provider = MeterProvider([reader], views=step_views(), resource=resource)
loss = provider.get_meter("trainer").create_gauge(f"loss.{rank}")
others = [provider.get_meter("trainer").create_gauge(f"a.name.of.some.length.{n}.{rank}") for n in range(12)]
tokens = provider.get_meter("trainer").create_counter("tokens")

def send():
    collected = reader.get_metrics_data()
    if collected is None:
        return
    body = encode_metrics(collected).SerializeToString()
    request = urllib.request.Request(url, body, {"content-type": "application/x-protobuf"})
    while True:
        try:
            urllib.request.urlopen(request, timeout=5).read()
            return
        except OSError:
            time.sleep(0.1)

for step in range(steps):
    loss.set(step + rank / 10, {"step": step})
    tokens.add(10, {"step": step})
    for other in others:
        other.set(step / 7, {"step": step})
    time.sleep(pause * (1 + rank / 4))
    if step % (10 + rank) == 9:
        send()
send()
"""


def free_port():
    """A port that nobody listens on at the moment."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def start(source, directory, *arguments, **variables):
    """A program in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source), *map(str, arguments)],
        cwd=directory,
        env={**os.environ, **SURROUNDINGS, **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for_step(port, step, receiver):
    """Until all rows up to this step are written."""
    end = time.monotonic() + 60
    while time.monotonic() < end and receiver.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats", timeout=5) as answer:
                if (json.load(answer)["watermark"] or 0) >= step:
                    return
        except OSError:
            pass
        time.sleep(0.02)
    pytest.fail("the receiver does not get on")


@pytest.mark.long
@pytest.mark.parametrize("kills", [2])
def test_every_step_is_there_once_however_often_the_receiver_was_killed(tmp_path, kills):
    """Four ranks go on training; each sample that was acknowledged is in the run, in one row a step."""
    port = free_port()
    receiver = start(RECEIVER, tmp_path, port)
    url = f"http://127.0.0.1:{port}/v1/metrics"
    ranks = [start(RANK, tmp_path, url, rank, STEPS, 0.004) for rank in range(RANKS)]
    try:
        for kill in range(kills):
            wait_for_step(port, STEPS * (kill + 1) // (kills + 2), receiver)
            receiver.send_signal(signal.SIGKILL)
            receiver.wait()
            receiver = start(RECEIVER, tmp_path, port)
        assert [0] * RANKS == [rank.wait(90) for rank in ranks]
        out, _ = receiver.communicate("\n", timeout=60)
    finally:
        for process in (receiver, *ranks):
            process.kill()
            process.wait()
    assert "True" in out.split()
    files = sorted((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert kills + 1 == len(files)
    stored = [read_rows(file) for file in files]
    assert any(stored[:-1]), "W&B had stored nothing when the receiver was killed: this shows nothing"
    rows = [row for each in stored for row in each]
    assert list(range(STEPS)) == [row["global_step"] for row in rows]
    for rank in range(RANKS):
        assert [step + rank / 10 for step in range(STEPS)] == [row[f"loss/{rank}"] for row in rows]
    assert [10 * RANKS * (step + 1) for step in range(STEPS)] == [row["tokens"] for row in rows]


@pytest.mark.long
def test_online_the_server_has_every_step_once_however_often_the_receiver_was_killed(tmp_path):
    """Started again at once, as by a supervisor: the journal has what wandb-core had not uploaded."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1/metrics"
    with WandbDouble() as server:
        uploaded = []
        receiver = start(RECEIVER, tmp_path, port, **server.environment)
        ranks = [start(RANK, tmp_path, url, rank, STEPS, 0.02) for rank in range(RANKS)]
        try:
            for step in (STEPS // 4, STEPS // 2):
                wait_for_step(port, step, receiver)
                uploaded.append((len(server.run_of("killed").rows), step))
                receiver.send_signal(signal.SIGKILL)
                receiver.wait()
                receiver = start(RECEIVER, tmp_path, port, **server.environment)
            assert [0] * RANKS == [rank.wait(90) for rank in ranks]
            out, _ = receiver.communicate("\n", timeout=60)
        finally:
            for process in (receiver, *ranks):
                process.kill()
                process.wait()
    stored = server.runs["killed"]
    assert "True" in out.split()
    assert any(0 < rows < written for rows, written in uploaded), f"this shows nothing: {uploaded}"
    assert stored.is_complete
    assert list(range(STEPS)) == [row["_step"] for row in stored.rows]
    assert list(range(STEPS)) == [row["global_step"] for row in stored.rows]
    for rank in range(RANKS):
        assert [step + rank / 10 for step in range(STEPS)] == [row[f"loss/{rank}"] for row in stored.rows]
    assert [10 * RANKS * (step + 1) for step in range(STEPS)] == [row["tokens"] for row in stored.rows]
