"""The bridge's own counts as OpenTelemetry metrics, for every reader of the provider but our own.

Under the semantic conventions for the SDK's self-observability ("OpenTelemetry SDK metrics") where these fit,
and under names of our own for what they have no word for.
"""

import itertools
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation
from opentelemetry.sdk.metrics.export import MetricsData

from .stats import Stats

COMPONENT_TYPE = "otel_wandb_bridge.WandbMetricExporter"
"""`otel.component.type`: none of the standardized values is an exporter to W&B."""

_ENDS = ("written", "overridden", "dropped", "rejected", "shed", "sent")
_numbers = itertools.count()


class Operation:
    """One call of `export`."""

    error: str | None = None
    """`error.type`, where it failed."""
    is_final = False
    """The data points of a failed call are given up; otherwise they wait, and are tried again."""


class SelfMetrics:
    """Counts the calls of one exporter, and shows them and its `Stats` to the readers of a provider.

    Args:
        stats: A bound method, held weakly. It must not wait for a flush: readers hold locks when they ask.

    Thread-safety: safe from any thread.
    """

    def __init__(self, stats: Callable[[], Stats]) -> None:
        self._stats = weakref.WeakMethod(stats)
        self.component = {
            "otel.component.type": COMPONENT_TYPE,
            "otel.component.name": f"{COMPONENT_TYPE}/{next(_numbers)}",
        }
        """The attributes of every point."""
        self.latest: Stats | None = None
        """As of the collection that is under way: counting what waits takes a while."""
        self._durations: list[Histogram] = []
        self._lock = threading.Lock()
        self._exported: Counter[str | None] = Counter()
        self.inflight = 0
        """Data points that were passed to the exporter and wait, or are being written."""
        self._held = 0

    @contextmanager
    def operation(self, data_points: int) -> Iterator[Operation]:
        """Around one call of `export`, and around the locks that it takes: at the end, it records."""
        with self._lock:
            self.inflight += data_points
        started = time.perf_counter()
        operation = Operation()
        try:
            yield operation
        except BaseException as error:
            operation.error, operation.is_final = type(error).__qualname__, True
            raise
        finally:
            self._count(operation, data_points)
            for duration in self._durations:
                duration.record(time.perf_counter() - started, self._with(operation.error))

    def caught_up(self) -> None:
        """What failed calls had left was written by another flush."""
        with self._lock:
            self.inflight -= self._held
            self._exported[None] += self._held
            self._held = 0

    def report_to(self, meter: Meter) -> None:
        """Show the counts as instruments of a meter. A second call with the same meter does nothing."""
        with _reporting:
            report = _reports.get(meter)
            if report is None:
                report = _reports[meter] = _Report(meter)
            if self not in report.components:
                report.components.add(self)
                self._durations.append(report.duration)

    def look(self) -> None:
        """A collection begins."""
        stats = self._stats()
        self.latest = None if stats is None else stats()

    def exported(self) -> list[Observation]:
        """Data points by how their export ended."""
        with self._lock:
            counts = {None: 0, **self._exported}
        return [Observation(count, self._with(error)) for error, count in counts.items()]

    def after_fork(self) -> None:
        """In a forked child: the counts are the parent's, and nobody may be there to free the lock."""
        self._lock = threading.Lock()
        self._exported = Counter()
        self.inflight = self._held = 0

    def _count(self, operation: Operation, data_points: int) -> None:
        with self._lock:
            if operation.error is None:
                data_points, self._held = data_points + self._held, 0
            elif not operation.is_final:
                self._held += data_points
                return
            self.inflight -= data_points
            self._exported[operation.error] += data_points

    def _with(self, error: str | None) -> dict[str, str]:
        return self.component if error is None else {**self.component, "error.type": error}


def data_points_in(metrics_data: MetricsData) -> int:
    """How many data points a collection has."""
    return sum(
        len(metric.data.data_points)
        for resource_metrics in metrics_data.resource_metrics
        for scope_metrics in resource_metrics.scope_metrics
        for metric in scope_metrics.metrics
    )


class _Report:
    """The instruments of one meter, for all exporters there: of one name, it keeps the first callbacks."""

    def __init__(self, meter: Meter) -> None:
        self.components: weakref.WeakSet[SelfMetrics] = weakref.WeakSet()
        meter.create_observable_counter(
            "otel.sdk.exporter.metric_data_point.exported",
            [self._exported],
            unit="{data_point}",
            description="The number of metric data points for which the export has finished, either "
            "successful or failed.",
        )
        meter.create_observable_up_down_counter(
            "otel.sdk.exporter.metric_data_point.inflight",
            [self._inflight],
            unit="{data_point}",
            description="The number of metric data points which were passed to the exporter, but that have "
            "not been exported yet (neither successful, nor failed).",
        )
        self.duration = meter.create_histogram(
            "otel.sdk.exporter.operation.duration",
            unit="s",
            description="The duration of exporting a batch of telemetry records.",
        )
        meter.create_observable_counter(
            "otel_wandb_bridge.samples",
            [self._ends],
            unit="{sample}",
            description="Samples by what became of them: with those pending, all that were recorded.",
        )
        meter.create_observable_up_down_counter(
            "otel_wandb_bridge.samples.pending",
            [self._reading("pending")],
            unit="{sample}",
            description="Samples that wait to be written.",
        )
        for name, unit, description in (
            ("recorded", "{sample}", "Samples that came in."),
            ("late", "{sample}", "Samples that came after the row of their step was committed."),
            ("rows", "{row}", "Rows committed."),
            ("failed_flushes", "{flush}", "Flushes that W&B interrupted."),
        ):
            meter.create_observable_counter(
                f"otel_wandb_bridge.{name}", [self._reading(name)], unit=unit, description=description
            )

    def _exported(self, _: CallbackOptions) -> Iterable[Observation]:
        return [observation for each in tuple(self.components) for observation in each.exported()]

    def _inflight(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(each.inflight, each.component) for each in tuple(self.components)]

    def _ends(self, _: CallbackOptions) -> Iterable[Observation]:
        # The first instrument of each collection that asks for the counts takes them for all.
        for each in tuple(self.components):
            each.look()
        return [
            Observation(getattr(each.latest, end), {**each.component, "outcome": end})
            for each in tuple(self.components)
            for end in _ENDS
            if each.latest is not None
        ]

    def _reading(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        return lambda _: [
            Observation(getattr(each.latest, name), each.component)
            for each in tuple(self.components)
            if each.latest is not None
        ]


def _after_fork() -> None:
    global _reporting
    _reporting = threading.Lock()


_reporting = threading.Lock()
_reports: "weakref.WeakKeyDictionary[Meter, _Report]" = weakref.WeakKeyDictionary()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
