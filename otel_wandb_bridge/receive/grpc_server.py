"""OTLP over gRPC: `MetricsService/Export`."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2

from .access import Access
from .body import Accept, Refused, parse_protobuf

_THREADS = 8
_GRACE_SECONDS = 5
_SERVICE = metrics_service_pb2.DESCRIPTOR.services_by_name["MetricsService"].full_name
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}


class GrpcServer:
    """Serves from `start` to `stop`.

    Args:
        accept: Called in a thread of a pool.
        access: Who is let in, and the address.
        port: The port; 0 takes a free one.
        limit: How many bytes a request may have, after decompression.

    Raises:
        OSError: the address cannot be listened on.

    Thread-safety: `start` and `stop` are for one thread.
    """

    def __init__(self, accept: Accept, access: Access, port: int, limit: int) -> None:
        self._accept = accept
        self._access = access
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, thread_name_prefix="otel-wandb-grpc"),
            options=[
                ("grpc.max_receive_message_length", limit),
                ("grpc.so_reuseport", 0),  # else a second receiver would share the port without a word
            ],
        )
        # Not the generated servicer: to it, what is no OTLP message is INTERNAL and not INVALID_ARGUMENT.
        handlers = {
            "Export": grpc.unary_unary_rpc_method_handler(
                self._export, response_serializer=lambda response: response.SerializeToString()
            )
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
        self.port = self._bind(port)
        """The port that is listened on."""

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def stop(self) -> None:
        """Answer what is under way, and end."""
        self._server.stop(_GRACE_SECONDS).wait()

    def _bind(self, port: int) -> int:
        host = self._access.host
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if not self._access.certificate:
                bound = self._server.add_insecure_port(address)
            else:
                bound = self._server.add_secure_port(address, self._credentials())
        except RuntimeError:
            bound = 0
        if not bound:
            raise OSError(f"cannot listen on {address} for gRPC; choose another grpc_port, or 0 for any")
        return int(bound)

    def _credentials(self) -> Any:
        access = self._access
        with open(str(access.private_key), "rb") as key, open(str(access.certificate), "rb") as chain:
            pair = (key.read(), chain.read())
        if not access.client_ca:
            return grpc.ssl_server_credentials([pair])
        with open(access.client_ca, "rb") as authorities:
            return grpc.ssl_server_credentials([pair], authorities.read(), require_client_auth=True)

    def _export(self, body: bytes, context: Any) -> Any:
        try:
            if not self._access.allows(_authorization(context.invocation_metadata())):
                raise Refused(401, "a bearer token is required, in the metadata `authorization`")
            return self._accept(parse_protobuf(body), body)
        except Refused as refused:
            _abort(context, refused)


def _authorization(metadata: Any) -> str | None:
    return next((value for key, value in metadata if key == "authorization"), None)


def _abort(context: Any, refused: Refused) -> NoReturn:
    code = _CODES.get(refused.status, grpc.StatusCode.INVALID_ARGUMENT)
    if refused.retry_after is not None:
        retry = RetryInfo(retry_delay=Duration(seconds=refused.retry_after))
        details = AnyMessage()
        details.Pack(retry)
        status = Status(code=code.value[0], message=refused.reason, details=[details])
        # In both forms: clients in Python read the first, the Collector the second.
        context.set_trailing_metadata(
            (
                ("google.rpc.retryinfo-bin", retry.SerializeToString()),
                ("grpc-status-details-bin", status.SerializeToString()),
            )
        )
    context.abort(code, refused.reason)
    raise AssertionError("abort() raises")
