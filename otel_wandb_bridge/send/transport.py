"""OpenTelemetry's own OTLP exporters, by protocol."""

import logging
import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from opentelemetry.sdk.metrics.export import MetricExporter

from ..shared_options import base_url
from .answer import LastAnswer

GRPC = "grpc"
HTTP = "http/protobuf"
_PROTOCOL_VARIABLES = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_METRICS_PATH = "/v1/metrics"
_GRPC_LOGGER = "opentelemetry.exporter.otlp.proto.grpc.exporter"
_SESSION_VARIABLES = (
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_METRICS_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
)


def exporter_to(
    endpoint: str,
    *,
    protocol: str | None = None,
    headers: Mapping[str, str] | None = None,
    answer: LastAnswer | None = None,
    **kwargs: Any,
) -> MetricExporter:
    """An OTLP exporter to the receiver (or a Collector) at `endpoint`.

    Certificates, compression and timeout are as the `OTEL_EXPORTER_OTLP_*` variables say.

    Args:
        endpoint: A base URL, such as `http://rank0:4318`; `/v1/metrics` is added for HTTP.
        protocol: `http/protobuf` or `grpc`. Default: `OTEL_EXPORTER_OTLP_PROTOCOL`, else HTTP.
        headers: Sent with every request, such as `{"authorization": "Bearer …"}`.
        answer: Is told what comes back.
        kwargs: Handed on to the exporter.

    Raises:
        TypeError, ValueError: for an endpoint, protocol or headers that cannot be used.
        ModuleNotFoundError: the exporter is not installed, with the command that installs it.
    """
    url = base_url(endpoint)
    _check_headers(headers)
    chosen = protocol or next(filter(None, map(os.environ.get, _PROTOCOL_VARIABLES)), HTTP)
    if chosen == HTTP:
        module, extra = "http", "worker"
        if not url.endswith(_METRICS_PATH):
            url += _METRICS_PATH
    elif chosen == GRPC:
        module, extra = "grpc", "worker-grpc"
        if url.startswith("http://"):
            kwargs["insecure"] = True
    else:
        raise ValueError(f"protocol must be {HTTP!r} or {GRPC!r}; got {chosen!r}")
    try:
        found = import_module(f"opentelemetry.exporter.otlp.proto.{module}.metric_exporter")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'a worker needs {error.name}: pip install "otel-wandb-bridge[{extra}]"', name=error.name
        ) from error
    if answer is not None:
        if chosen == GRPC:
            logging.getLogger(_GRPC_LOGGER).addFilter(answer)
        elif not any(map(os.environ.get, _SESSION_VARIABLES)):  # else the session is somebody else's
            kwargs["session"] = _session(answer)
    exporter: MetricExporter = found.OTLPMetricExporter(
        endpoint=url, headers=None if headers is None else dict(headers), **kwargs
    )
    return exporter


def _check_headers(headers: Any) -> None:
    """Say what is expected, and no value of what came: it may be a secret."""
    expected = "headers must map names to texts, such as {'authorization': 'Bearer …'}"
    if headers is None:
        return
    if not isinstance(headers, Mapping):
        raise TypeError(f"{expected}; got an object of type {type(headers).__name__}")
    for name, value in headers.items():
        if not isinstance(name, str):
            raise TypeError(f"{expected}; got a name of type {type(name).__name__}")
        if not isinstance(value, str):
            raise TypeError(f"{expected}; got a value of type {type(value).__name__} for {name!r}")


def _session(answer: LastAnswer) -> Any:
    import requests  # the HTTP exporter brings it

    session = requests.Session()
    session.hooks["response"].append(answer.on_response)
    return session
