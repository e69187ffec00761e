"""The receiver: OTLP from many processes, one run out."""

from types import TracebackType
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from ..decode.otlp import OtlpDecoder
from ..exporter import WandbMetricExporter
from ..ledger import Ledger
from ..records import Sample
from ..stats import Stats
from ..write import Run
from .body import Refused
from .http import METRICS_PATH, application
from .intake import Intake
from .serving import HttpServer

DEFAULT_PORT = 4318
_MEBIBYTE = 1 << 20
_RETRY_AFTER_SECONDS = 1


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
        max_body_bytes: How many bytes a request may have, after decompression. Default 64 MiB.
        max_waiting_bytes: How many bytes of accepted requests wait to be taken in; past it senders are told
            to come again later. Default 256 MiB.
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
        max_body_bytes: int = 64 * _MEBIBYTE,
        max_waiting_bytes: int = 256 * _MEBIBYTE,
        **options: Any,
    ) -> None:
        self._run = run
        self._host = host
        self._port = port
        self._max_body_bytes = max_body_bytes
        self._max_waiting_bytes = max_waiting_bytes
        self._options = options
        self._exporter: WandbMetricExporter | None = None
        self._owns_exporter = False
        self._decoder: OtlpDecoder | None = None
        self._server: HttpServer | None = None
        self._intake: Intake | None = None

    @property
    def endpoint(self) -> str:
        """The base URL for OTLP/HTTP exporters, such as `http://127.0.0.1:4318`."""
        port = self._port if self._server is None else self._server.port
        return f"http://{_in_url(self._host)}:{port}"

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
        """
        if self._intake is not None:
            raise RuntimeError("the receiver is started already; use one receiver for one address")
        self._owns_exporter = exporter is None
        if exporter is None:
            exporter = WandbMetricExporter(self._run, **self._options)
        elif self._run is not None or self._options:
            raise TypeError(
                "a receiver for configure(receiver=…) takes no run and no options of its own: "
                "say them to configure()"
            )
        app = application(
            self._accept, authorize=lambda _: True, stats=self._counts, limit=self._max_body_bytes
        )
        server = HttpServer(app, self._host, self._port, {})
        self._exporter = exporter
        self._intake = Intake(self._take, self._max_waiting_bytes)
        exporter.add_entrance(self._drain)
        self._server = server
        server.start()

    def stop(self) -> None:
        """Stop listening and take in what was accepted. An exporter of its own is shut down, too."""
        if self._server is None or self._intake is None:
            return
        self._server.stop()
        self._intake.stop()
        self._server = self._intake = None
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
        return self.exporter.flush_everything(timeout_millis)

    def stats(self) -> Stats:
        """What became of every sample that was taken in."""
        return self.exporter.stats()

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

    def _accept(self, request: ExportMetricsServiceRequest, size: int) -> ExportMetricsServiceResponse:
        intake = self._intake
        if intake is None or not intake.reserve(size):
            raise Refused(503, "too much waits to be taken in; come again later", _RETRY_AFTER_SECONDS)
        intake.put(request, size)
        return ExportMetricsServiceResponse()

    def _take(self, request: ExportMetricsServiceRequest) -> None:
        self.exporter.receive(lambda ledger: self._samples(request, ledger))

    def _samples(self, request: ExportMetricsServiceRequest, ledger: Ledger) -> list[Sample]:
        if self._decoder is None:
            self._decoder = OtlpDecoder(self.exporter.new_decoder, ledger)
        return [sample for received in self._decoder.decode(request) for sample in received.samples]

    def _drain(self) -> None:
        if self._intake is not None:
            self._intake.drain()

    def _counts(self) -> dict[str, Any]:
        stats = self.stats()
        return {name: getattr(stats, name) for name in stats.__slots__}


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
