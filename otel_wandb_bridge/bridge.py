"""The bridge: what `configure` puts together, in one hand."""

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import NoOpMeter, get_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader

from .attributes import LANE_SCOPE, OWN_SCOPE
from .record.lane_gauges import LaneGauges, global_gauges
from .runtime.signals import tidy
from .runtime.uninterrupted import uninterrupted
from .stats import Stats

if TYPE_CHECKING:
    from .exporter import WandbMetricExporter
    from .receive import OtlpReceiver
    from .send import Sender
    from .write import Run


class Bridge:
    """A meter provider whose measurements become W&B rows, and the direct lane beside it.

    Made by `configure`. A context manager: leaving it shuts it down.

    Thread-safety: safe from any thread.
    """

    def __init__(
        self,
        meter_provider: MeterProvider,
        reader: MetricReader | None,
        exporter: "WandbMetricExporter | Sender",
        receiver: "OtlpReceiver | None" = None,
        *,
        owns_provider: bool,
        interval_millis: float,
    ) -> None:
        self._provider = meter_provider
        self._reader = reader
        self._exporter = exporter
        self._owns_provider = owns_provider
        self._receiver = receiver
        self._is_shut_down = False
        self._lane = exporter.open_lane()
        # All bridges of the global provider show the same gauges: two of one name would be in conflict.
        is_global = get_meter_provider() is meter_provider
        self._lane.gauges = global_gauges() if is_global else LaneGauges(meter_provider.get_meter(LANE_SCOPE))
        # The bridge's own counts also make sure that there is something to collect in every interval,
        # without which the SDK's reader does not call its exporter.
        exporter.report_to(meter_provider)
        if isinstance(meter_provider.get_meter(OWN_SCOPE), NoOpMeter):
            exporter.flush_every(interval_millis / 1e3)

    @property
    def meter_provider(self) -> MeterProvider:
        """The provider to get meters from."""
        return self._provider

    @property
    def run(self) -> "Run | None":
        """The run that is written; None where there is none yet, or it is over. May wait for a flush."""
        return self._exporter.run

    def log(
        self,
        values: Mapping[str, Any],
        *,
        step: int | None = None,
        source: str | None = None,
        priority: int | None = None,
    ) -> None:
        """Report values by key: scalars (NaN and ±Inf too), text, images, tables, all that W&B takes.

        Costs the caller one append. The values are taken as they are now: containers, arrays and tensors
        that are changed later are copied. Finite scalars also show up as gauges of the meter
        `otel_wandb_bridge.log` for every other reader.

        Args:
            values: What to report.
            step: The training step; by default the ambient one (`training_step`, `set_step`).
            source: The component that reports; by default the ambient one, else `otel_wandb_bridge.log`.
            priority: 0 (highest) to 10 (lowest); by default the ambient one, else that of the source.

        Never raises: what cannot be used is counted in `stats().rejected` and logged once. On a worker
        (`configure(endpoint=…)`) OTLP has room for numbers alone; all else is a `TypeError`, after the
        numbers of the same call have been taken.
        """
        if self._is_shut_down:
            self._exporter.refuse(values)
        else:
            self._lane.log(values, step, source, priority)

    def force_flush(self, timeout_millis: float = 30_000) -> bool:
        """Commit everything that has been recorded, in ascending order, whatever it waits for.

        A worker sends everything, and waits until it is acknowledged.

        Returns:
            False where W&B, the receiver, a failing collection or the timeout interrupted it, or no run is
            there yet; the rest stays pending.

        Raises:
            SamplesLost: with `strict=True`, where samples were lost since the last flush.
            TypeError: the timeout is no number.
        """
        is_number = isinstance(timeout_millis, (int, float)) and not isinstance(timeout_millis, bool)
        if not is_number or timeout_millis != timeout_millis:
            raise TypeError(f"timeout_millis must be a number of milliseconds; got {timeout_millis!r}")
        return self._exporter.flush_everything(timeout_millis)

    def shutdown(self) -> None:
        """Commit everything and stop. The run stays open: it is the caller's to finish.

        A provider that `configure` made is shut down with all its readers; one that it joined goes on
        without us. Calling it again does nothing.

        Raises:
            SamplesLost: with `strict=True`, where samples were lost since the last flush. Everything is shut
                down all the same.
        """
        try:
            self._shutdown()
        finally:
            tidy()

    @uninterrupted
    def _shutdown(self) -> None:
        if self._is_shut_down:
            return
        self._is_shut_down = True
        if self._receiver is not None:
            self._receiver.stop()
        if self._reader is None:  # the exporter is that of the auto-configuration, and goes on
            self._exporter.flush_everything(30_000)
            return
        self._exporter.collect()
        if self._owns_provider:
            self._provider.shutdown()
        else:
            self._reader.shutdown()  # first: it collects once more, which a removed reader cannot
            self._provider.remove_metric_reader(self._reader)
        self._exporter.shutdown()
        self._exporter.raise_what_was_lost()

    def stats(self) -> Stats:
        """What became of everything recorded so far."""
        return self._exporter.stats()

    def __enter__(self) -> "Bridge":
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()
