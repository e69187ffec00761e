"""`otel-wandb serve`, as people run it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from click.testing import CliRunner
from rich.console import Console

pytest.importorskip("uvicorn", reason="the extra `receiver` is not installed")

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from otel_wandb_bridge.cli import main
from otel_wandb_bridge.cli.serve_view import Rates, view_of
from otel_wandb_bridge.testing import read_rows

PROGRAM = "from otel_wandb_bridge.cli import main; main()"
HANGS = """
import time
from otel_wandb_bridge import OtlpReceiver
OtlpReceiver.stop = lambda _: time.sleep(60)
"""


def request_of(*steps):
    """The request of a process that reports `loss` at these steps."""
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="loss")
    point = metric.gauge.data_points.add(time_unix_nano=10**18 + max(steps))
    for step in steps:
        exemplar = point.exemplars.add(time_unix_nano=10**18 + step, as_double=step / 2)
        exemplar.filtered_attributes.add(key="wandb.step").value.int_value = step
    return request


class Serving:
    """`otel-wandb serve` in a process of its own."""

    def __init__(self, directory, *arguments, program=PROGRAM, **variables):
        surroundings = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_CONSOLE": "off"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, "serve", "--port", "0", *arguments],
            cwd=directory,
            env={**os.environ, **surroundings, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.says = self.process.stdout.readline()
        self.endpoint = self.says.split()[-1] if self.says else None

    def post(self, request):
        """Export a request."""
        headers = {"content-type": "application/x-protobuf"}
        body = request.SerializeToString()
        with urllib.request.urlopen(
            urllib.request.Request(self.endpoint, body, headers), timeout=20
        ) as answer:
            return answer.status

    def end(self, how):
        """Send a signal (None: no), and wait for the end: exit code, output, errors."""
        if how is not None:
            self.process.send_signal(how)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_what_came_is_in_the_run_when_it_is_ended(tmp_path, how):
    """Asked to end, it writes everything that was accepted, and finishes the run."""
    serving = Serving(tmp_path, "--project", "many")
    assert serving.says.startswith("receiving OTLP metrics at http://127.0.0.1:")
    assert 200 == serving.post(request_of(0, 1, 2))
    code, out, err = serving.end(how)
    assert (0, "") == (code, err)
    assert "3 rows, 3 of 3 samples written" in out
    assert [0.0, 0.5, 1.0] == [row["loss"] for row in read_rows(tmp_path / "wandb")]


def test_a_receiver_that_was_killed_goes_on_with_its_run(tmp_path):
    """Started again in the same place, without a word about the run."""
    serving = Serving(tmp_path)
    serving.post(request_of(0, 1, 2))
    serving.end(signal.SIGKILL)
    again = Serving(tmp_path)
    again.post(request_of(3))
    assert 0 == again.end(signal.SIGTERM)[0]
    files = sorted((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert 1 == len({file.name for file in files})
    rows = [row for file in files for row in read_rows(file)]
    assert [0, 1, 2, 3] == [row["global_step"] for row in rows]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--host", "0.0.0.0"], "--host 0.0.0.0 can be reached"),
        (["--host", "0.0.0.0"], "or say --insecure"),
        (["--certificate", "a.pem"], "--certificate and --private-key go together"),
        (["--client-ca", "a.pem"], "--client-ca needs --certificate and --private-key"),
        (["--token", " "], "--token must not be empty"),
        (["--port", "70000"], "70000"),
        (["--expected-sources", "4.5"], "--expected-sources"),
    ],
)
def test_what_cannot_be_used_is_said_before_a_run_is_made(tmp_path, monkeypatch, arguments, says):
    """In one line, without a traceback."""
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(main, ["serve", *arguments])
    assert ended.exit_code != 0
    assert says in ended.output
    assert "Traceback" not in ended.output
    assert [] == list(tmp_path.iterdir())


def test_a_port_that_is_taken_is_said_before_a_run_is_made(tmp_path):
    """A supervisor that starts it again and again makes no failed run each time."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        serving = Serving(tmp_path, "--port", str(taken.getsockname()[1]))
        code, _, err = serving.end(None)
    assert 1 == code
    assert "choose another port" in err
    assert [] == [path.name for path in tmp_path.rglob("*run-*")]


def test_a_variable_that_cannot_be_used_is_said_before_a_run_is_made(tmp_path):
    """Those of the pipeline, too."""
    code, _, err = Serving(tmp_path, OTEL_WANDB_HOLD="long").end(None)
    assert 1 == code
    assert "OTEL_WANDB_HOLD='long'" in err
    assert [] == [path.name for path in tmp_path.rglob("*run-*")]


def test_what_wandb_says_is_said_in_a_line(tmp_path):
    """Without a traceback."""
    code, _, err = Serving(tmp_path, WANDB_MODE="online", WANDB_API_KEY="", HOME=str(tmp_path)).end(None)
    assert 1 == code
    assert "Error: W&B: " in err
    assert "Traceback" not in err


def test_a_second_signal_ends_it_at_once(tmp_path):
    """Should writing take too long for somebody. One that comes with the first is the first."""
    serving = Serving(tmp_path, program=HANGS + PROGRAM)
    for _ in range(2):
        serving.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    with pytest.raises(subprocess.TimeoutExpired):
        serving.process.wait(1)
    assert -signal.SIGINT == serving.end(signal.SIGINT)[0]


def test_a_journal_that_cannot_be_made_is_said_before_a_run_is_made(tmp_path):
    """There is no such place, or it is read-only."""
    (tmp_path / "file").touch()
    code, _, err = Serving(tmp_path, "--journal", str(tmp_path / "file" / "journal")).end(None)
    assert 1 == code
    assert "cannot be used" in err
    assert [] == [path.name for path in tmp_path.rglob("*run-*")]


def test_a_journal_that_holds_more_of_another_run_is_said_before_a_run_is_made(tmp_path):
    """With the id to go on with."""
    serving = Serving(tmp_path, "--id", "first")
    serving.post(request_of(0, 1, 2))
    serving.end(signal.SIGKILL)
    code, _, err = Serving(tmp_path, "--id", "second").end(None)
    assert 1 == code
    assert "'first'" in err
    assert [] == [path.name for path in tmp_path.rglob("*run-*-second")]
    assert 0 == Serving(tmp_path, "--id", "first").end(signal.SIGTERM)[0]


def test_what_a_full_disk_kept_out_of_the_run_is_in_the_journal(tmp_path, small_disk):
    """It says so, ends with 1, and writes it once there is room."""
    arguments = ["--journal", str(small_disk / "receiver.journal")]
    serving, status, accepted = Serving(tmp_path, *arguments), 200, 0
    while status == 200:
        try:
            status = serving.post(request_of(*range(accepted, accepted + 100)))
            accepted += 100
        except urllib.error.HTTPError as refused:
            status = refused.code
    assert 503 == status
    code, _, err = serving.end(signal.SIGTERM)
    assert 1 == code
    assert "start again on it" in err
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    assert 0 == Serving(tmp_path, *arguments).end(signal.SIGTERM)[0]
    files = sorted((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert list(range(accepted)) == [row["global_step"] for file in files for row in read_rows(file)]


def test_the_view_shows_who_is_behind():
    """Those furthest behind first, with rates of the last minute."""

    def counts(rows, recorded):
        return {
            "requests": {"accepted": 7, "refused": 1, "waiting": 0},
            "points": {"new": 70, "duplicate": 3, "rejected": 0},
            "samples": {
                "rows": rows,
                "recorded": recorded,
                "late": 5,
                "pending": 2,
                "rejected": 1,
                "shed": 0,
                "rejected_reasons": {"step": 1},
            },
            "watermark": 41,
            "newest_step": 1_050,
            "sources": {
                "train/rank_0/a/trainer": {"step": 1_050, "lag": 0},
                f"train/rank_1/{'b' * 8}-0d77-4f8e-9a3b-0242ac120002/trainer": {"step": 42, "lag": 1_008},
            },
        }

    rates = Rates()
    rates.at(counts(0, 0), 0.0)
    console = Console(width=100)
    with console.capture() as captured:
        console.print(view_of(rates.at(counts(60, 6_000), 30.0)))
    text = captured.get()
    assert "120 a minute" in text
    assert "200 a second" in text
    assert "step: 1" in text
    assert "watermark 41, newest step 1,050" in text
    assert text.index("train/rank_1/bbbbbbbb…/trainer") < text.index("rank_0")
    assert "1,008" in text
