"""The receiver: OTLP from many processes, one run out."""

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from ..exporter import WandbMetricExporter
from ..options import resolve
from ..process_resource import process_attributes
from ..reconcile.policy import number, whole_number
from ..sources import process_of
from ..spelling import options_of, refuse_unknown
from ..stats import Stats
from ..write import Run
from .access import Access
from .body import RETRY_AFTER_SECONDS, Refused
from .counts import counts_of
from .http import METRICS_PATH, application
from .inlet import Inlet
from .journal import Journal
from .serving import HttpServer

if TYPE_CHECKING:
    from .grpc_server import GrpcServer

DEFAULT_PORT = 4318
_MEBIBYTE = 1 << 20


class OtlpReceiver:
    """Receives what other processes export by OTLP, and writes it to one W&B run.

        with OtlpReceiver(run, port=4318):
            train()

    Senders are standard OTLP exporters. Those of OpenTelemetry Python carry every step if they are given
    `preferred_aggregation=step_aggregation()`. Samples of this process and of all others end in the same rows
    where the receiver is handed to `configure(run, receiver=OtlpReceiver(…))`; it is started and stopped with
    the bridge then, and `run` and further options are said there.

    Args:
        run: The run to write to; None follows `wandb.run`.
        host: The address to listen on. Other machines can reach one that is not a loopback address.
        port: The port for OTLP/HTTP, 0 for a free one. Default 4318.
        grpc_port: The port for OTLP/gRPC, 0 for a free one (the standard one is 4317). None, the default: no
            gRPC. Needs the extra `grpc`.
        token: What senders must say in `Authorization: Bearer …`.
        certificate: PEM file with the certificate of this server: it speaks TLS.
        private_key: PEM file with the key of the certificate.
        client_ca: PEM file with the authorities whose client certificates are let in, and no other senders.
        insecure: Let everybody in who can reach an address that is no loopback address.
        max_body_bytes: How many bytes a request may have, after decompression. Default 64 MiB.
        max_waiting_bytes: How many bytes of accepted requests wait to be taken in, and how many of others
            are under way by HTTP; past it senders are told to come again later. Default 256 MiB.
        reorder: How long an export waits for an earlier one of the same process, in seconds. Default 2.
        journal: A file in which what was acknowledged survives the end of this process, SIGKILL too. Started
            again on it, with the same run (`wandb.init(id=…, resume="allow")`), the receiver writes what is
            missing, and nothing twice. None, the default: none is kept.
        max_journal_bytes: How many bytes of requests the journal holds; past it senders are told to come
            again later. Default 1 GiB.
        options: Those of `WandbMetricExporter`.

    Raises:
        TypeError, ValueError: for an option that cannot be used, by name.
        OSError: on `start`, where the address cannot be listened on.

    Thread-safety: safe from any thread, but for `start` and `stop`.
    """

    def __init__(
        self,
        run: Run | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        grpc_port: int | None = None,
        token: str | None = None,
        certificate: str | None = None,
        private_key: str | None = None,
        client_ca: str | None = None,
        insecure: bool = False,
        max_body_bytes: int = 64 * _MEBIBYTE,
        max_waiting_bytes: int = 256 * _MEBIBYTE,
        reorder: float = 2.0,
        journal: str | Path | None = None,
        max_journal_bytes: int = 1024 * _MEBIBYTE,
        **options: Any,
    ) -> None:
        refuse_unknown(
            "OtlpReceiver()", options, {*options_of(OtlpReceiver), *options_of(WandbMetricExporter)}
        )
        resolve(**{name: value for name, value in options.items() if name != "clock"})
        self._access = Access(host, token, certificate, private_key, client_ca, insecure)
        self._run = run
        self._port = _port("port", port)
        self._grpc_port = None if grpc_port is None else _port("grpc_port", grpc_port)
        self._max_body_bytes = whole_number("max_body_bytes", max_body_bytes, minimum=1)
        self._max_waiting_bytes = whole_number("max_waiting_bytes", max_waiting_bytes, minimum=1)
        self._reorder = number("reorder", reorder, minimum=0.0)
        self._journal = journal
        self._max_journal_bytes = whole_number("max_journal_bytes", max_journal_bytes, minimum=1)
        self._options = options
        self._exporter: WandbMetricExporter | None = None
        self._owns_exporter = False
        self._server: HttpServer | None = None
        self._grpc_server: GrpcServer | None = None
        self._inlet: Inlet | None = None

    @property
    def endpoint(self) -> str:
        """The base URL for OTLP/HTTP exporters, such as `http://127.0.0.1:4318`."""
        port = self._port if self._server is None else self._server.port
        return f"{'https' if self._access.certificate else 'http'}://{_in_url(self._access.host)}:{port}"

    @property
    def grpc_endpoint(self) -> str | None:
        """The address for OTLP/gRPC exporters, such as `127.0.0.1:4317`; None where there is none."""
        if self._grpc_port is None:
            return None
        port = self._grpc_port if self._grpc_server is None else self._grpc_server.port
        return f"{_in_url(self._access.host)}:{port}"

    @property
    def metrics_endpoint(self) -> str:
        """The URL to which metrics are posted."""
        return self.endpoint + METRICS_PATH

    def start(self, exporter: WandbMetricExporter | None = None) -> None:
        """Listen, and write what comes.

        Args:
            exporter: Where to; by default, one is made for the run.

        Raises:
            RuntimeError: it is started already.
            OSError: the address cannot be listened on.
            ValueError: the journal cannot be used, or holds what belongs to another run.
        """
        if self._inlet is not None:
            raise RuntimeError("the receiver is started already; use one receiver for one address")
        if exporter is not None and (self._run is not None or self._options):
            raise TypeError(
                "a receiver for configure(receiver=…) takes no run and no options of its own: "
                "say them to configure()"
            )
        servers = self._bound_servers()
        self._owns_exporter = exporter is None
        try:
            if exporter is None:
                exporter = WandbMetricExporter(self._run, **self._options)
                exporter.join_job(process_of(process_attributes(os.environ)))
            self._exporter = exporter
            self._inlet = self._new_inlet(exporter)
        except BaseException:
            for server in servers:
                server.stop()
            if self._owns_exporter and self._exporter is not None:
                self._exporter.shutdown()
            raise
        for server in servers:
            server.start()

    def stop(self) -> None:
        """Stop listening, take in what was accepted, and commit it. An exporter of ours is shut down, too."""
        if self._inlet is None:
            return
        for server in (self._grpc_server, self._server):
            if server is not None:
                server.stop()
        inlet, self._inlet = self._inlet, None
        inlet.close()
        self._server = self._grpc_server = None
        if self._owns_exporter:
            self.exporter.shutdown()

    @property
    def exporter(self) -> WandbMetricExporter:
        """What writes the rows.

        Raises:
            RuntimeError: the receiver was not started yet.
        """
        if self._exporter is None:
            raise RuntimeError("the receiver was not started: use it as a context manager, or call start()")
        return self._exporter

    def force_flush(self, timeout_millis: float = 30_000) -> bool:
        """Take in what was accepted, and commit everything; see `Bridge.force_flush`."""
        self.exporter.collect()
        return self.exporter.force_flush(timeout_millis)

    def stats(self) -> Stats:
        """What became of every sample that was taken in."""
        return self.exporter.stats()

    def counts(self) -> dict[str, Any]:
        """What `/stats` answers: requests and data points as they came, samples, sources, watermark."""
        return counts_of(self.exporter, self._inlet)

    def __enter__(self) -> "OtlpReceiver":
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _bound_servers(self) -> "list[HttpServer | GrpcServer]":
        app = application(
            self._accept,
            allows=self._access.allows,
            stats=self.counts,
            limit=self._max_body_bytes,
            room=self._max_waiting_bytes,
            on_full=self._note_refused,
        )
        self._server = HttpServer(app, self._access.host, self._port, self._access.uvicorn_options())
        if self._grpc_port is None:
            return [self._server]
        try:
            from .grpc_server import GrpcServer

            self._grpc_server = GrpcServer(self._accept, self._access, self._grpc_port, self._max_body_bytes)
        except BaseException as error:
            self._server.stop()
            if isinstance(error, ModuleNotFoundError):
                text = f'grpc_port needs {error.name}: pip install "otel-wandb-bridge[grpc]"'
                raise ModuleNotFoundError(text, name=error.name) from error
            raise
        return [self._server, self._grpc_server]

    def _new_inlet(self, exporter: WandbMetricExporter) -> Inlet:
        journal = None
        if self._journal is not None:
            journal = Journal(self._journal, self._max_journal_bytes)
        try:
            return Inlet(
                exporter, max_waiting_bytes=self._max_waiting_bytes, reorder=self._reorder, journal=journal
            )
        except BaseException:
            if journal is not None:
                journal.close()
            raise

    def _note_refused(self) -> None:
        inlet = self._inlet
        if inlet is not None:
            inlet.note_refused()

    def _accept(self, request: ExportMetricsServiceRequest, body: bytes) -> ExportMetricsServiceResponse:
        inlet = self._inlet
        if inlet is None:
            raise Refused(503, "the receiver is being started or stopped", RETRY_AFTER_SECONDS)
        return inlet.accept(request, body)


def _port(option: str, port: int) -> int:
    if whole_number(option, port, minimum=0) > 65_535:
        raise ValueError(f"{option} must be a port, 0 to 65535; got {port!r}")
    return port


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
