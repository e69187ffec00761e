"""What the OTLP specification asks of a server over HTTP."""

import gzip
import json
import socket
import time
from urllib.parse import urlsplit

import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc.status_pb2 import Status
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from otlp_sender import JSON, NOW, PROTOBUF, SECOND, gauge_of, post, post_gzip, request_of, send, series

from otel_wandb_bridge import OtlpReceiver

CUT = gzip.compress(b"x" * 99)[:-9]
VALUES = {0: 0.5, 1: 1.5, 2: 2.5}


def test_a_request_in_protobuf_ends_in_rows(receiver, run):
    """The measurements of each step, in the row of that step."""
    answer = post(receiver, request_of(gauge_of("train.loss", VALUES)))
    assert not answer.message().HasField("partial_success")
    assert receiver.force_flush()
    assert VALUES == series(run, "train/loss")


def test_a_compressed_request_ends_in_rows(receiver, run):
    """`Content-Encoding: gzip`."""
    post_gzip(receiver, request_of(gauge_of("loss", VALUES)).SerializeToString()).message()
    receiver.force_flush()
    assert VALUES == series(run, "loss")


def test_a_request_in_json_ends_in_rows(receiver, run):
    """Ids in hexadecimal, 64-bit numbers as text, unknown fields ignored; the answer is JSON."""
    document = MessageToDict(request_of(gauge_of("loss", VALUES)))
    (metric,) = document["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    for exemplar in metric["gauge"]["dataPoints"][0]["exemplars"]:
        exemplar["traceId"] = "5B8EFFF798038103D269B633813FC60C"
        exemplar["spanId"] = "eee19b7ec3c1b174"
    document["unheardOf"] = {"nested": [1, 2]}
    answer = send(receiver.endpoint, json.dumps(document), media_type=f"{JSON}; charset=utf-8")
    assert (200, {}) == (answer.status, answer.json())
    assert JSON == answer.headers["content-type"]
    receiver.force_flush()
    assert VALUES == series(run, "loss")


def test_what_a_metric_of_another_process_says_of_itself_is_in_the_config(receiver, run):
    """Unit, description and scope: of measurements and of plain points, of several processes once."""
    latency, load = gauge_of("latency.queue", VALUES), Metric(name="load", unit="1")
    latency.unit, latency.description = "ms", "Time in the queue"
    load.gauge.data_points.add(time_unix_nano=NOW, as_double=0.5)
    for instance in "ab":
        post(receiver, request_of(latency, load, instance=instance, scope="server")).message()
    post(receiver, request_of(load, instance="c", scope="host")).message()
    receiver.force_flush()
    assert {
        "latency/queue": {"unit": "ms", "description": "Time in the queue", "scope": "server"},
        "load": {"unit": "1", "scope": ["host", "server"]},
    } == run.config["otel"]["metrics"]


def test_an_empty_request_is_a_success(receiver):
    """Nothing is as good as something."""
    answer = send(receiver.endpoint, b"")
    assert (200, b"") == (answer.status, answer.body)
    assert 200 == send(receiver.endpoint, "{}", media_type=JSON).status


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
    [
        pytest.param(b"\xff\xff\xff", {}, 400, "ExportMetricsServiceRequest", id="no protobuf"),
        pytest.param(b"{", {"media_type": JSON}, 400, "JSON", id="no JSON"),
        pytest.param(b"[]", {"media_type": JSON}, 400, "object", id="no JSON object"),
        pytest.param(b'{"a":' * 100_000, {"media_type": JSON}, 400, "nested", id="deep JSON"),
        pytest.param(b'{"resourceMetrics":3}', {"media_type": JSON}, 400, "JSON", id="another document"),
        pytest.param(b"x", {"media_type": "text/plain"}, 415, "application/x-protobuf", id="no OTLP"),
        pytest.param(b"x", {"content_encoding": "br"}, 415, "gzip", id="another encoding"),
        pytest.param(b"x", {"content_encoding": "gzip"}, 400, "gzip", id="no gzip"),
        pytest.param(
            gzip.compress(b"x" * 99)[:-9], {"content_encoding": "gzip"}, 400, "cut off", id="cut gzip"
        ),
    ],
)
def test_what_is_no_request_is_refused_and_says_why(receiver, body, headers, status, says):
    """With a `Status` message that names what came and what is expected; nothing is retried."""
    answer = send(receiver.endpoint, body, **headers)
    assert status == answer.status
    as_json = headers.get("media_type") == JSON
    text = answer.json()["message"] if as_json else Status.FromString(answer.body).message
    assert says in text
    assert "retry-after" not in answer.headers
    assert 0 == receiver.stats().recorded


def test_the_limit_holds_after_decompression(receiving):
    """A bomb is refused while it is unpacked: it never is in memory as a whole."""
    receiver = receiving(max_body_bytes=1_000_000)
    bomb = gzip.compress(bytes(200_000_000), compresslevel=9)
    assert len(bomb) < 1_000_000
    refused = send(receiver.endpoint, bomb, content_encoding="gzip")
    assert 413 == refused.status
    assert "max_body_bytes" in Status.FromString(refused.body).message
    assert 413 == send(receiver.endpoint, bytes(1_000_001)).status


def test_members_of_gzip_may_follow_each_other(receiver, run):
    """As RFC 1952 has it."""
    body = request_of(gauge_of("loss", VALUES)).SerializeToString()
    packed = gzip.compress(body[:20]) + gzip.compress(body[20:])
    assert 200 == send(receiver.endpoint, packed, content_encoding="gzip").status


def test_a_request_in_small_pieces_is_one_request(receiver, run):
    """Chunked, a few bytes at a time."""
    packed = gzip.compress(request_of(gauge_of("loss", VALUES)).SerializeToString())
    pieces = (packed[at : at + 7] for at in range(0, len(packed), 7))
    assert 200 == send(receiver.endpoint, pieces, content_encoding="gzip").status
    receiver.force_flush()
    assert VALUES == series(run, "loss")


def test_a_sender_that_hangs_up_is_no_trouble(receiver, run, caplog):
    """In the middle of its request."""
    url = urlsplit(receiver.endpoint)
    with socket.create_connection((url.hostname, url.port)) as connection:
        connection.sendall(
            b"POST /v1/metrics HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
            b"Content-Length: 1000\r\n\r\nabc"
        )
    post(receiver, request_of(gauge_of("loss", VALUES))).message()
    receiver.force_flush()
    assert VALUES == series(run, "loss")
    assert [] == [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


def slow_sender(receiver, length=1000, sent=b"abc"):
    """A connection that sends the beginning of its body, and then nothing."""
    url = urlsplit(receiver.endpoint)
    connection = socket.create_connection((url.hostname, url.port), timeout=20)
    head = f"POST /v1/metrics HTTP/1.1\r\nHost: x\r\nContent-Type: {PROTOBUF}\r\nContent-Length: {length}"
    connection.sendall(head.encode() + b"\r\n\r\n" + sent)
    return connection


def test_a_sender_that_stops_in_the_middle_holds_nobody_up_and_is_let_go(receiver, run, monkeypatch):
    """Others are answered meanwhile; it is told that it took too long."""
    monkeypatch.setattr("otel_wandb_bridge.receive.http.BODY_SECONDS", 0.3)
    slow = [slow_sender(receiver) for _ in range(50)]
    post(receiver, request_of(gauge_of("loss", VALUES))).message()
    for connection in slow:
        assert b"408" in connection.recv(1000)
        connection.close()
    receiver.force_flush()
    assert VALUES == series(run, "loss")


def test_a_sender_that_stops_in_the_middle_is_no_trouble_at_the_end(run, caplog, monkeypatch):
    """The receiver waits for it a moment, and then stops without a traceback; it may send it again."""
    monkeypatch.setattr("otel_wandb_bridge.receive.serving._GRACE_SECONDS", 1)
    with OtlpReceiver(run, port=0) as receiver:
        post(receiver, request_of(gauge_of("loss", VALUES))).message()
        slow = slow_sender(receiver)
        time.sleep(0.1)  # until it is read from
    assert b" 400 " not in slow.recv(1000), "it would not send it again"
    slow.close()
    assert VALUES == series(run, "loss")
    assert "Traceback" not in caplog.text


def test_bodies_that_are_under_way_are_bounded_too(receiving, run):
    """Many at once are told to come again; one alone is always read, whatever its size."""
    receiver = receiving(max_waiting_bytes=10_000)
    first = slow_sender(receiver, 20_000, bytes(9_000))
    time.sleep(0.2)  # until it is read
    second = slow_sender(receiver, 20_000, bytes(9_000))
    assert b"503" in second.recv(1000)
    packed = gzip.compress(bytes(50_000))
    assert 503 == send(receiver.endpoint, packed, content_encoding="gzip").status
    assert {"accepted": 0, "refused": 2, "waiting": 0} == receiver.counts()["requests"]
    first.sendall(bytes(11_000))
    assert b"400" in first.recv(1000)
    third = slow_sender(receiver, 20_000, bytes(9_000))
    time.sleep(0.2)
    for connection in (first, second, third):
        connection.close()
    time.sleep(0.2)
    large = gauge_of("loss", dict.fromkeys(range(1_000), 1.0))
    assert 200 == post(receiver, request_of(large)).status
    receiver.force_flush()
    assert 1_000 == len(series(run, "loss"))


def test_a_body_that_says_it_is_too_large_is_not_read(receiving):
    """It is refused at once."""
    connection = slow_sender(receiving(max_body_bytes=1_000), length=1_001)
    assert b"413" in connection.recv(1000)
    connection.close()


def test_only_metrics_are_taken(receiver):
    """By POST, under their path."""
    assert 405 == send(receiver.endpoint, b"", method="GET").status
    assert 404 == send(receiver.endpoint, b"", path="/v1/traces").status


def test_health_and_counts_can_be_asked_for(receiver):
    """Of load balancers and people."""
    post(receiver, request_of(gauge_of("loss", VALUES)))
    receiver.force_flush()
    assert {"status": "ok"} == send(receiver.endpoint, None, path="/healthz", method="GET").json()
    counts = send(receiver.endpoint, None, path="/stats", method="GET").json()
    assert 3 == counts["samples"]["written"]


def test_the_counts_of_sources_can_be_asked_for(receiver):
    """Whoever was late or overridden is counted by source: the answer is plain JSON all the same."""
    for values in (VALUES, {2: 7.0, 9: 1.0}, {0: 3.0}):
        time = NOW + len(values) * SECOND
        assert 200 == post(receiver, request_of(gauge_of("loss", values, time=time))).status
        receiver.force_flush()
    counts = send(receiver.endpoint, None, path="/stats", method="GET").json()
    assert {"job/a/trainer"} == set(counts["sources"])
    assert 9 == counts["newest_step"]


def test_a_partial_success_counts_data_points_and_says_why(receiver, run):
    """What can be used is used."""
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

    summary = Metric(name="old")
    summary.summary.data_points.add()
    summary.summary.data_points.add()
    wrong = Metric(name="wrong")
    wrong.gauge.data_points.add(as_double=1.0).attributes.add(key="step").value.string_value = "soon"
    timeless = Metric(name="timeless")
    timeless.sum.data_points.add(as_int=1)
    answer = post(receiver, request_of(summary, wrong, timeless, gauge_of("loss", VALUES))).message()
    assert 4 == answer.partial_success.rejected_data_points
    assert "'old'" in answer.partial_success.error_message
    assert "'soon'" in answer.partial_success.error_message
    assert "delta or cumulative" in answer.partial_success.error_message
    receiver.force_flush()
    assert VALUES == series(run, "loss")
    stats = receiver.stats()
    assert (4, 7) == (stats.rejected, stats.recorded)
    assert stats.is_conserved()


def test_too_much_that_waits_is_to_come_again(receiving, run):
    """503 with `Retry-After`, before anything of the request is accepted."""
    receiver = receiving(max_waiting_bytes=2_000)
    request = request_of(gauge_of("loss", dict.fromkeys(range(100), 1.0)))
    with receiver.exporter._lock.held():
        statuses = [post(receiver, request_of(gauge_of("loss", VALUES), instance="first")).status]
        answer = post(receiver, request)
        while answer.status == 200:
            statuses.append(answer.status)
            answer = post(receiver, request)
    assert 503 == answer.status
    assert int(answer.headers["retry-after"]) >= 1
    receiver.force_flush()
    assert receiver.stats().is_conserved()
    assert 200 == post(receiver, request).status


def test_what_is_not_utf8_or_not_gzip_never_is_an_error_of_ours():
    """The decompressor by itself, on each cut of a good body."""
    from otel_wandb_bridge.receive.body import Body, Refused

    packed = gzip.compress(b"some text" * 10)
    for cut in range(1, len(packed)):
        body = Body("gzip", 1_000)
        body.take(packed[:cut])
        with pytest.raises(Refused):
            body.whole()
