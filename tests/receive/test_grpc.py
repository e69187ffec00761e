"""What the OTLP specification asks of a server over gRPC."""

import time

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from otlp_sender import gauge_of, request_of, series

from otel_wandb_bridge import configure

VALUES = {0: 0.5, 1: 1.5}
EXPORT = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"


@pytest.fixture
def dial():
    """Open channels, which are closed at the end."""
    channels = []

    def open_channel(receiver, **options):
        channels.append(grpc.insecure_channel(receiver.grpc_endpoint, **options))
        return channels[-1]

    yield open_channel
    for channel in channels:
        channel.close()


def refusal(call):
    """What a call is refused with."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_request_ends_in_rows(receiving, run, dial, compression):
    """Compressed or not."""
    receiver = receiving(grpc_port=0)
    stub = MetricsServiceStub(dial(receiver, compression=compression))
    answer = stub.Export(request_of(gauge_of("loss", VALUES)), timeout=20)
    assert not answer.HasField("partial_success")
    assert receiver.force_flush()
    assert VALUES == series(run, "loss")


def test_what_is_no_request_is_an_invalid_argument(receiving, dial):
    """And says why."""
    export = dial(receiving(grpc_port=0)).unary_unary(EXPORT)
    error = refusal(lambda: export(b"\xff\xff\xff", timeout=20))
    assert grpc.StatusCode.INVALID_ARGUMENT == error.code()
    assert "ExportMetricsServiceRequest" in error.details()


def test_the_limit_holds_after_decompression(receiving, dial):
    """A bomb is refused."""
    receiver = receiving(grpc_port=0, max_body_bytes=100_000)
    export = dial(receiver, compression=grpc.Compression.Gzip).unary_unary(EXPORT)
    error = refusal(lambda: export(bytes(50_000_000), timeout=20))
    assert grpc.StatusCode.RESOURCE_EXHAUSTED == error.code()


def test_too_much_that_waits_is_to_come_again(receiving, dial):
    """UNAVAILABLE, with the delay in the form that Python reads, and in that of the Collector."""
    receiver = receiving(grpc_port=0, max_waiting_bytes=1)
    stub = MetricsServiceStub(dial(receiver))
    with receiver.exporter._lock.held():
        stub.Export(request_of(gauge_of("loss", VALUES)), timeout=20)
        error = refusal(lambda: stub.Export(request_of(gauge_of("loss", {5: 1.0})), timeout=20))
    assert grpc.StatusCode.UNAVAILABLE == error.code()
    trailers = dict(error.trailing_metadata())
    assert 1 == RetryInfo.FromString(trailers["google.rpc.retryinfo-bin"]).retry_delay.seconds
    status = Status.FromString(trailers["grpc-status-details-bin"])
    unpacked = RetryInfo()
    assert status.details[0].Unpack(unpacked)
    assert 1 == unpacked.retry_delay.seconds


def test_a_token_is_asked_for(receiving, dial):
    """In the metadata `authorization`."""
    stub = MetricsServiceStub(dial(receiving(grpc_port=0, token="secret")))
    request = request_of(gauge_of("loss", VALUES))
    assert grpc.StatusCode.UNAUTHENTICATED == refusal(lambda: stub.Export(request, timeout=20)).code()
    stub.Export(request, metadata=[("authorization", "Bearer secret")], timeout=20)


def test_a_worker_with_a_wrong_token_is_told(receiving, caplog):
    """By the exporter of OpenTelemetry, which tells it in its log line alone."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc", reason="the OTLP/gRPC exporter is needed")
    receiver = receiving(grpc_port=0, token="secret")
    endpoint, headers = f"http://{receiver.grpc_endpoint}", {"authorization": "Bearer wrong"}
    with configure(endpoint=endpoint, protocol="grpc", headers=headers, set_global=False) as bridge:
        bridge.log({"loss": 1.0}, step=0)
        began = time.monotonic()
        assert not bridge.force_flush(60_000)
        assert not bridge.force_flush(60_000)
        assert time.monotonic() - began < 20
    assert 1 == bridge.stats().shed
    (said,) = [line for line in caplog.messages if line.startswith("receiver: ")]
    assert said.startswith("receiver: refused: it answers UNAUTHENTICATED: check the token")


def test_a_port_that_is_taken_is_an_error(receiving):
    """Not a second receiver behind the first."""
    first = receiving(grpc_port=0)
    port = int(first.grpc_endpoint.rpartition(":")[2])
    with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}"):
        receiving(grpc_port=port)
