"""The exporter of a worker: what was recorded goes into the outbox, and from there to the receiver."""

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
    ResourceMetrics,
)
from opentelemetry.sdk.resources import Resource

from ..attributes import OWN_SCOPE
from ..ledger import Ledger
from ..plural import count_of
from ..process_resource import process_attributes
from ..record import INSTRUMENTS, TEMPORALITY, DirectLane, Intake, StepAggregation, say_uncollectable
from ..record.clock import STEP_CLOCK
from ..record.sdk import readers_of
from ..runtime.exit import before_exit
from ..runtime.flusher import Flusher
from ..runtime.living import Living
from ..runtime.signals import protect, release, tidy
from ..runtime.weakly import weakly
from ..selfmetrics import SelfMetrics, data_points_in
from ..sources import PROCESS_PID, SERVICE_INSTANCE_ID
from ..stats import USED_AFTER_SHUTDOWN, Stats, stats_of
from .answer import LastAnswer
from .calls import ScalarLane, resource_metrics_of
from .outbox import Outbox
from .parcels import collected_at, parcels_of, points_of, samples_in, shed_in

_logger = logging.getLogger("otel_wandb_bridge")
_OF_A_PROCESS = (SERVICE_INSTANCE_ID, PROCESS_PID)
EXIT_SECONDS = 10.0
"""How long the end of a program waits for the receiver at most."""


_living: "Living[Sender]" = Living()


class Sender(MetricExporter):
    """Sends what OpenTelemetry instruments record, with every step, to the process that owns the run.

    Nothing of it waits for the network but its own thread: a receiver that cannot be reached slows nothing
    down. What cannot be sent is counted in `stats()`.

    Args:
        exporter: OpenTelemetry's OTLP exporter to the receiver.
        resource: What is said of this process where a provider does not say it.
        max_pending: How many samples wait to be sent at most.
        answer: What the receiver answered last, where the exporter tells.
        endpoint: Where it sends to, for people to read.

    Thread-safety: safe from any thread.
    """

    def __init__(
        self,
        exporter: MetricExporter,
        resource: Resource,
        *,
        max_pending: int = 100_000,
        answer: LastAnswer | None = None,
        endpoint: str = "",
    ) -> None:
        self.endpoint = endpoint
        self._exporter = exporter
        self._resource = resource
        self._merged: dict[int, tuple[Resource, Resource]] = {}
        self._ledger = Ledger()
        self._answer = answer or LastAnswer()
        self._outbox = Outbox(exporter, self._ledger, max_pending, self._answer)
        self._flusher = Flusher(self._flush_early)
        self._intake = Intake(self._flusher.wake)
        self._lane = ScalarLane({})
        self._lane.on_high_water = self._flusher.wake
        # Reentrant, for signal handlers; held for work in memory alone.
        self._lock = threading.RLock()
        self._is_child = False
        self._exit_deadline: float | None = None
        self._is_shut_down = False
        self._exports = 0
        self._unusable_before = STEP_CLOCK.unusable
        self._refused = 0
        self._aggregation = StepAggregation(self._intake, lambda _: self._flusher.start())
        super().__init__(
            preferred_temporality=TEMPORALITY,
            preferred_aggregation=dict.fromkeys(INSTRUMENTS, self._aggregation),
        )
        self._self_metrics = SelfMetrics(self.stats)
        before_exit(self._before_exit)
        protect(self, EXIT_SECONDS)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=weakly(self._after_fork))
        _living.add(self)

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        """Take in what was collected, to be sent soon. Never waits for the network."""
        with self._self_metrics.operation(data_points_in(metrics_data)) as operation, self._lock:
            if self._is_shut_down:
                operation.error, operation.is_final = "already_shutdown", True
                self._refused += sum(samples_in(point.exemplars) for point in points_of(metrics_data))
                return MetricExportResult.FAILURE
            self._exports += 1
            for point in points_of(metrics_data):
                shed = shed_in(point.exemplars)
                self._ledger.recorded += samples_in(point.exemplars) + shed
                self._ledger.shed += shed
            began = collected_at(metrics_data)
            self._put(*self._with_this_process(metrics_data), *self._calls(began))
        self._lane.after_flush()
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Send what was collected, and wait until it is acknowledged. False: it is refused, or time is up."""
        with self._lock:
            self._put(*self._calls())
        return self._outbox.flush(timeout_millis / 1e3)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Send what was collected, for 10 s at most; what is not acknowledged then is lost, and counted."""
        with self._lock:
            if self._is_shut_down:
                return
            self._put(*self._calls())
            self._is_shut_down = True
        self._outbox.stop(self._left_of(timeout_millis / 1e3))
        release(self)
        tidy()
        self._flusher.stop()
        self._exporter.shutdown()

    def stats(self) -> Stats:
        """What became of everything recorded so far; `sent` is what the receiver has acknowledged."""
        with self._lock:
            waiting, shed = self._intake.waiting()
            in_lane, shed_by_lane = self._lane.waiting()
            waiting, shed = waiting + in_lane, shed + shed_by_lane
            late_comers = self._refused
            if self._is_shut_down:  # nobody collects what still waits
                late_comers, waiting = late_comers + waiting, 0
            pending = self._outbox.waiting
            return stats_of(
                self._ledger,
                waiting=waiting,
                shed=shed,
                pending=pending,
                refused=late_comers,
                unusable_steps=STEP_CLOCK.unusable - self._unusable_before,
            )

    def leave_out(self, instruments: list[str]) -> None:
        """Count and say that instruments are not collected any more: the SDK cannot do it."""
        with self._lock:
            say_uncollectable(instruments, self._ledger)

    def readers(self) -> list[MetricReader]:
        """The readers that were given this exporter."""
        return readers_of(self._aggregation)

    @property
    def is_shut_down(self) -> bool:
        """Whether what comes now is rejected."""
        return self._is_shut_down

    @property
    def refusal(self) -> str | None:
        """The status with which the receiver refuses everything, and what to do; None: it does not."""
        return self._answer.refusal

    @property
    def run(self) -> None:
        """A worker writes no run."""
        return None

    def report_to(self, provider: MeterProvider) -> None:
        """Show the counts to the readers of a provider."""
        self._self_metrics.report_to(provider.get_meter(OWN_SCOPE))

    @property
    def hurry(self) -> Callable[[], None]:
        """Have what waits sent soon: a signal has come."""
        return self._flusher.wake

    def rescue(self, seconds: float) -> None:
        """Send what was recorded: a signal ends the program. See `signals`."""
        self.collect(seconds * 1e3)
        self.shutdown(seconds * 1e3)

    def raise_what_was_lost(self) -> None:
        """Nothing: `strict` is for the process that writes the run."""

    def open_lane(self) -> DirectLane:
        """The direct lane into this exporter."""
        self._flusher.start()
        return self._lane

    def collect(self, timeout_millis: float = 30_000) -> bool:
        """Have the reader collect now what has been recorded. False where it could not."""
        exports = self._exports
        try:
            readers = self.readers()
            for reader in readers:
                reader.collect(timeout_millis)
        except Exception:
            _logger.exception("could not collect what was recorded; it is tried again at the next interval")
            return False
        with self._lock:
            if exports == self._exports and not self._is_shut_down:
                self._put(*self._calls())  # nothing was new, and so the reader did not export
        self._lane.after_flush()
        return bool(readers)

    def flush_everything(self, timeout_millis: float) -> bool:
        """Collect what has been recorded, and send all of it; see `Bridge.force_flush`."""
        deadline = time.monotonic() + timeout_millis / 1e3
        collected = self.collect(timeout_millis)
        return self.force_flush(max(0.0, deadline - time.monotonic()) * 1e3) and collected

    def flush_every(self, seconds: float) -> None:
        """Send what the direct lane holds without a reader: the SDK is disabled (`OTEL_SDK_DISABLED`)."""
        self._flusher.repeat(seconds)

    def refuse(self, values: Any) -> None:
        """Count values that came after the shutdown, and say it once. Never raises."""
        count = len(values) if isinstance(values, Mapping) else 1
        with self._lock:
            first, self._refused = not self._refused, self._refused + count
        if first:
            _logger.warning(USED_AFTER_SHUTDOWN)

    def _flush_early(self) -> None:
        self.collect()

    def _calls(self, until: int | None = None) -> list[ResourceMetrics]:
        """What the direct lane was given until a collection began (nanoseconds); None: all of it."""
        seconds = None if until is None else until / 1e9
        batches = self._lane.batches(self._ledger, seconds, everything=until is None)
        of_calls = resource_metrics_of(itertools.chain.from_iterable(batches), self._resource, until)
        return [] if of_calls is None else [of_calls]

    def _put(self, *collected: ResourceMetrics) -> None:
        # In one piece: what was recorded and what was logged until one moment belong to the same rows. And
        # under one resource: of two that are equal, the exporters encode one alone.
        if not collected:
            return
        scope_metrics = [scope for each in collected for scope in each.scope_metrics]
        for parcel in parcels_of(MetricsData([replace(collected[0], scope_metrics=scope_metrics)])):
            self._outbox.put(parcel)

    def _with_this_process(self, data: MetricsData) -> list[ResourceMetrics]:
        return [replace(each, resource=self._merged_with(each.resource)) for each in data.resource_metrics]

    def _merged_with(self, resource: Resource) -> Resource:
        """The resource of a provider with what it does not say of this process."""
        known = self._merged.get(id(resource))
        if known is None or known[0] is not resource:
            merged = self._resource.merge(resource)
            if self._is_child:
                merged = merged.merge(_resource_of_child())
            known = self._merged[id(resource)] = (resource, merged)
        return known[1]

    def _before_exit(self) -> None:
        if self._is_shut_down:
            return
        self.collect()
        if not self.force_flush(self._left_of(EXIT_SECONDS) * 1e3):
            left = self._outbox.waiting
            text = f"not acknowledged by the receiver: {count_of(left, 'sample')}"
            self._ledger.say_once("shed", "the end", text)

    def _left_of(self, seconds: float) -> float:
        """What is left of the time that the end of the program may take, counted from the first call."""
        now = time.monotonic()
        if self._exit_deadline is None:
            self._exit_deadline = now + EXIT_SECONDS
        return max(0.0, min(seconds, self._exit_deadline - now))

    def _after_fork(self) -> None:
        # The child is a process of its own: what the parent holds is the parent's to send.
        self._is_child = True
        self._lock = threading.RLock()
        self._ledger = Ledger()
        self._outbox.clear(self._ledger)
        self._flusher.after_fork()
        self._self_metrics.after_fork()
        self._intake.clear()
        self._lane.clear()
        self._merged.clear()
        self._resource = self._resource.merge(_resource_of_child())


def living_senders() -> list[Sender]:
    """All senders of this process that somebody holds on to."""
    return list(_living)


def keep_senders() -> None:
    """Hold on to all senders of this process, also to those to come."""
    _living.keep()


def _resource_of_child() -> Resource:
    own = process_attributes(os.environ)
    return Resource({name: own[name] for name in _OF_A_PROCESS})
