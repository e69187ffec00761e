"""The exporter: decode → reconcile → write, one step after the other."""

import logging
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar

from opentelemetry.metrics import Instrument
from opentelemetry.sdk.metrics import (
    MeterProvider,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
)
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExportResult,
    MetricReader,
    MetricsData,
)

from . import options
from .attributes import OWN_SCOPE
from .decode import Decoder, Naming, TraceIds
from .entrances import Entrances
from .flush_lock import FlushLock
from .flusher import Flusher
from .lifecycle import Lifecycle, is_any_bound
from .pipeline import Pipeline
from .record import INSTRUMENTS, DirectLane, HeardOnce, Intake, Readership
from .record.lane import Entry
from .records import Bundle, Sample
from .resource import Announcer, described
from .selfmetrics import SelfMetrics, data_points_in
from .signals import tidy
from .sources import Process
from .stats import Stats, stats_of
from .uninterrupted import is_within, start, uninterrupted
from .verdict import Strictness
from .write import Run

_logger = logging.getLogger("otel_wandb_bridge")
_RETRY_SECONDS = 2.0
_living: "weakref.WeakSet[WandbMetricExporter]" = weakref.WeakSet()
_T = TypeVar("_T")
_OBSERVABLE = (ObservableCounter, ObservableGauge, ObservableUpDownCounter)


class WandbMetricExporter(HeardOnce):
    """Writes what OpenTelemetry instruments record to a W&B run: one merged row for each step, in order.

        reader = PeriodicExportingMetricReader(WandbMetricExporter(run), export_interval_millis=2000)
        provider = MeterProvider([reader])

    That is all it takes: the exporter brings its own aggregation, whose reservoirs keep every measurement
    with the step at which it was recorded (other readers of the provider see nothing of it), and flushes
    before the run finishes or the program ends.

    An option that is not given is taken from the environment (`OTEL_WANDB_HOLD` for `hold`, and so on), then
    from the default.

    Args:
        run: The run to write to. None follows `wandb.run`: what is recorded before `wandb.init` waits for
            it, and a second run follows the first.
        step_metric: The key of the step axis, in every row. Default `global_step`.
        step_keys: Keys under which frameworks log the training step. Where a framework has made one of them
            the axis of a key, rows with that key carry it. Default `train/global_step` (transformers) and
            `trainer/global_step` (Lightning).
        late: What becomes of samples whose row is already committed: `keep` (default) writes them as rows
            of their own that carry their true step, `merge` folds them into the next row, `drop` counts
            and discards them.
        hold: How long a row that some source has moved past waits for the others, in seconds. Default 10.
        disorder: How many steps a source may go back without being late. Default 0.
        max_pending: How many samples wait at most; past it the lowest rows are committed early. Default
            100,000.
        max_step_jump: A step further ahead of all others than this is taken for a mistake, such as a
            timestamp, and treated like a late sample. Default 1,000,000.
        signal_grace: How long the writing may take after a signal that would end the program on the spot
            (SIGTERM, SIGHUP), in seconds. 0 leaves signals alone. Default 20.
        priorities: Default priority by source, 0 (highest) to 10 (lowest); 5 for the rest.
        gating: The sources that hold rows back. Default: all that have reported.
        expected_sources: Sources, by name or by number, that hold rows back before their first report.
        reduce: What is written of a key that several processes report at one step, by key or pattern:
            `{"tokens": "sum", "time/*": ("mean", "max", "p95")}`. Default: the mean, with `key/min` and
            `key/max` beside it.
        counters: What a row says of a counter: its running `total` up to and including the step (default), or
            the `increment` within it. One for all, or by key or pattern: `{"tokens/*": "increment"}`.
        writer: What writes the rows: `thread`, the reader's; `process`, one of its own that is sent many rows
            at once, and cannot be starved by a training loop of pure Python; `auto` (default), the thread,
            and the process once the thread starves.
        histograms: What is written of a histogram instrument, for all or by key or pattern:
            `{"latency/*": ["histogram", "count", "p99.9"]}`. There are histogram, count, sum, mean, std, min,
            max, and percentiles from p0 to p100. Default: histogram, count, mean, min, max, p50, p95, p99.
        naming: From a metric's name and attributes to its key in W&B. Default: dots become slashes, and
            attributes are appended (`loss` with `{"rank": 3}` is `loss/rank_3`).
        strict: In tests: `force_flush`, and `shutdown` of a `Bridge`, raise `SamplesLost` where samples were
            rejected, shed or dropped. Default False: they are counted and said.
        on_late: Called with each late sample, after the flush that found it, in the thread of that flush.
        trace_ids: Where a measurement was recorded inside a sampled span, put the id of its trace into the
            row, under `trace_id`. Default False.
        self_metrics: Write the bridge's own counts to the run, too. Default False.
        summary_counts: Put the counts into the run's summary under `bridge/` when it ends. Default False.
        clock: Seconds that never go back, for `hold`. Default `time.monotonic`; tests inject their own.

    Raises:
        TypeError, ValueError: for an option that cannot be used, a finished run, and a run that another
            exporter of this process writes already.

    Thread-safety: safe from any thread. The reader calls `export` from its own; nothing here runs in the
    threads that record, but for one append a measurement.
    """

    def __init__(
        self,
        run: Run | None = None,
        *,
        step_metric: str | None = None,
        step_keys: Collection[str] | None = None,
        late: str | None = None,
        hold: float | None = None,
        disorder: int | None = None,
        max_pending: int | None = None,
        max_step_jump: int | None = None,
        signal_grace: float | None = None,
        priorities: Mapping[str, int] | None = None,
        gating: Collection[str] | None = None,
        expected_sources: int | Collection[str] | None = None,
        reduce: Mapping[str, str | Collection[str]] | None = None,
        counters: str | Mapping[str, str] | None = None,
        writer: str | None = None,
        histograms: str | Collection[str] | Mapping[str, str | Collection[str]] | None = None,
        naming: Naming | None = None,
        strict: bool | None = None,
        on_late: Callable[[Sample], None] | None = None,
        summary_counts: bool | None = None,
        trace_ids: bool | None = None,
        self_metrics: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.options = options.resolve(
            step_metric=step_metric,
            step_keys=step_keys,
            late=late,
            hold=hold,
            disorder=disorder,
            max_pending=max_pending,
            max_step_jump=max_step_jump,
            signal_grace=signal_grace,
            priorities=priorities,
            gating=gating,
            expected_sources=expected_sources,
            reduce=reduce,
            counters=counters,
            writer=writer,
            histograms=histograms,
            naming=naming,
            strict=strict,
            on_late=on_late,
            summary_counts=summary_counts,
            trace_ids=trace_ids,
            self_metrics=self_metrics,
        )
        self._strictness = Strictness() if self.options.strict else None
        self._clock = clock
        self._lock = FlushLock(self._after_flush)
        self._pipeline = Pipeline(run, self.options, clock)
        self._decoder = self.new_decoder()
        self._traces = TraceIds() if self.options.trace_ids else None
        self._flusher = Flusher(self._flush_early)
        self._intake = Intake(self._flusher.wake)
        self._lane = DirectLane(self.options.priorities, axis=self.options.step_metric)
        self._lane.on_high_water = self._flusher.wake
        self._exports = 0
        self.entrances = Entrances(self._pipeline, self._lock, self._set_alarm, lambda: self.is_shut_down)
        self._refused = 0
        self._refusing = threading.Lock()
        self.readership = Readership(self._intake, self._on_instrument)
        super().__init__(
            # Delta for what is recorded, so that the SDK lets go of a series (one for each step, where no
            # view keeps the step out) once it is collected; cumulative for what is observed, since a
            # callback says totals.
            preferred_temporality={
                instrument: AggregationTemporality.CUMULATIVE
                if instrument in _OBSERVABLE
                else AggregationTemporality.DELTA
                for instrument in INSTRUMENTS
            },
        )
        self._self_metrics = SelfMetrics(self.stats)
        self._announcer = Announcer()
        self._lifecycle = Lifecycle(
            self._lock,
            self._pipeline,
            collect=self.collect,
            drain=self._drain,
            hurry=self._flusher.wake,
            renew=self._renew,
            signal_grace=self.options.signal_grace,
        )
        start()
        _living.add(self)

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        """Take in what was collected and commit the rows that are due.

        Returns:
            `FAILURE` where W&B interrupted the writing; nothing is lost by that, the rows are tried again.
        """
        return self._export(metrics_data, time.monotonic() + timeout_millis / 1e3)

    @uninterrupted
    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Commit everything that was collected, in ascending order, whatever it waits for.

        Called by the reader's `force_flush` after a collection.

        Returns:
            False where W&B or the timeout interrupted it, or no run is there yet; the rest stays pending.

        Raises:
            SamplesLost: under `strict`, and then alone.
        """
        deadline = time.monotonic() + timeout_millis / 1e3
        with self._lock.held(timeout=max(0.0, timeout_millis / 1e3)) as is_ours:
            flushed = is_ours and self._drain(deadline) and not self._pipeline.pending
        self.raise_what_was_lost()
        return flushed

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Commit everything, and let go of the run. What comes later is rejected and counted.

        Rows that can be written are written, however long it takes; the timeout is not for them.
        """
        self._shutdown()
        tidy()

    @uninterrupted
    def _shutdown(self) -> None:
        with self._lock.held():
            if self._lifecycle.is_shut_down:
                return
            self._drain()
            self._lifecycle.shut_down()
        self._flusher.stop()

    def raise_what_was_lost(self) -> None:
        """Under `strict`, raise for what was lost since the last time.

        Raises:
            SamplesLost: samples were rejected, shed or dropped.
        """
        if self._strictness is not None:
            self._strictness.check(self.stats())

    @property
    @uninterrupted
    def run(self) -> Run | None:
        """The run that is written; None where there is none yet, or it is over. May wait for a flush."""
        with self._lock.held():
            self._pipeline.target.writer()
            return self._pipeline.target.run

    @property
    def is_shut_down(self) -> bool:
        """Whether what comes now is rejected."""
        return self._lifecycle.is_shut_down

    def readers(self) -> list[MetricReader]:
        """The readers that were given this exporter."""
        return self.readership.readers()

    def stats(self) -> Stats:
        """What became of everything recorded so far. Never waits for a flush."""
        waiting, shed = self._intake.waiting()
        in_lane, shed_by_lane = self._lane.waiting()
        waiting, shed = waiting + in_lane, shed + shed_by_lane
        pipeline, late_comers = self._pipeline, self._refused
        if self._lifecycle.is_shut_down:  # nobody collects what still waits
            late_comers, waiting = late_comers + waiting, 0
        return stats_of(
            pipeline.ledger,
            waiting=waiting,
            shed=shed,
            pending=pipeline.pending + self.entrances.pending,
            unconfirmed=pipeline.unconfirmed,
            refused=late_comers,
        )

    @uninterrupted
    def writes(self, run: Run) -> bool:
        """Whether the rows go to `run`, now or as soon as there are some. May wait for a flush."""
        if self._lifecycle.is_shut_down or self._pipeline.target.is_bound:
            return self.is_writing(run)
        with self._lock.held():
            return self._pipeline.target.writes(run)

    def is_writing(self, run: Run) -> bool:
        """Whether the rows go to `run` already. Never waits."""
        return self._pipeline.target.run is run and not self._lifecycle.is_shut_down

    def gives_way(self, how: Callable[[], None]) -> None:
        """Let another exporter have the run, should one be made for it: `how` is to shut this one down."""
        self._pipeline.target.gives_way = how

    def join_job(self, process: Process) -> None:
        """Say that this is one process of a job whose others report, too: its values are shares as theirs."""
        with self._lock.held():
            self._pipeline.join_job(process)

    def report_to(self, provider: MeterProvider) -> None:
        """Show the bridge's own counts to the readers of a provider, and put the run into its resource.

        `configure` and the auto-configuration do it; it is for an exporter on a provider of your own.
        """
        self._self_metrics.report_to(provider.get_meter(OWN_SCOPE))
        self._announcer.provider = provider
        self._announcer.tell_of(self._pipeline.target.run)

    def open_lane(self) -> DirectLane:
        """The direct lane into this exporter, which is emptied at every flush and whenever it fills up."""
        self._flusher.start()
        return self._lane

    def collect(self, timeout_millis: float = 30_000) -> bool:
        """Have the reader collect now what has been recorded, and commit what is due.

        Returns:
            False where it could not: no reader is known, or a collection failed (which is logged).
        """
        return not self._is_exporting_here() and self._collect(timeout_millis)

    def flush_everything(self, timeout_millis: float) -> bool:
        """Collect what has been recorded, and commit all of it; see `Bridge.force_flush`."""
        if self._is_exporting_here():
            return self.force_flush(timeout_millis)
        return self._flush_everything(timeout_millis)

    @uninterrupted
    def look_at_lane(self, look: Callable[[tuple[Entry, ...]], _T]) -> _T:
        """Call `look` with what waits in the direct lane, while no flush takes it out."""
        with self._lock.held():
            return look(self._lane.peek())

    @uninterrupted
    def write_before_summary(self, keys: Collection[str] | None, *, is_set: bool) -> None:
        """The program is about to read these keys of the run's summary (None: all), or to write them.

        What was logged under them before, and still waits, is committed first.
        """
        with self._lock.held():
            if keys is None or self._lane.holds(keys) or self._pipeline.holds(keys):
                self._pipeline.take([], self._batches(None))
                self._pipeline.commit(everything=True)
            writer = self._pipeline.target.writer()
            if is_set and keys is not None and writer is not None:
                writer.summary_was_set(keys)

    def is_flushing_here(self) -> bool:
        """Whether this very thread is in the middle of a flush."""
        return self._lock.is_held_here()

    def flush_every(self, seconds: float) -> None:
        """Flush what the direct lane holds without a reader: the SDK is disabled (`OTEL_SDK_DISABLED`)."""
        self._flusher.repeat(seconds)

    def refuse(self, values: Any) -> None:
        """Count values that came after the shutdown, and say it once. Never raises, waits for no flush."""
        try:
            count = len(values) if isinstance(values, Mapping) else 1
        except Exception:
            count = 1
        with self._refusing:
            first, self._refused = not self._refused, self._refused + count
        if first:
            _logger.warning("shutdown: Bridge.log: it is used after the shutdown")

    @uninterrupted
    def _export(self, metrics_data: MetricsData, deadline: float) -> MetricExportResult:
        with self._self_metrics.operation(data_points_in(metrics_data)) as operation, self._lock.held():
            self._exports += 1
            if self._pipeline.target.is_over:
                self._pipeline.is_superseded = is_any_bound()
            decoded = self._decoder.decode(metrics_data)
            if self._traces is not None:
                decoded = self._traces.added_to(decoded, metrics_data, self._pipeline.ledger)
            self.readership.say_of_rivals(self._pipeline.ledger)
            if self._lifecycle.is_shut_down:
                self._refuse(decoded.samples)
                operation.error, operation.is_final = "already_shutdown", True
                return MetricExportResult.FAILURE
            self._pipeline.describe("resource", described(metrics_data))
            self._pipeline.describe("metrics", self._decoder.descriptions())
            until = self._pipeline.cut(decoded.collected_at)
            succeeded = self._pipeline.take(
                decoded.samples, self._batches(until), until=until, deadline=deadline
            )
            if not succeeded:
                operation.error = self._pipeline.interrupted_by or "timeout"
            self._set_alarm(succeeded)
        return MetricExportResult.SUCCESS if succeeded else MetricExportResult.FAILURE

    @uninterrupted
    def _collect(self, timeout_millis: float = 30_000) -> bool:
        self.entrances.drain()
        readers = self.readership.readers() if self._may_collect() else []
        if not readers:
            with self._lock.held():
                self._pipeline.take([], self._batches(None))
            return False
        succeeded = [self._collected(reader, timeout_millis) for reader in readers]
        return all(succeeded)

    @uninterrupted
    def _flush_everything(self, timeout_millis: float) -> bool:
        deadline = time.monotonic() + timeout_millis / 1e3
        collected = self._collect(timeout_millis)
        return self.force_flush(max(0.0, deadline - time.monotonic()) * 1e3) and collected

    def _is_exporting_here(self) -> bool:
        # A signal handler has come to this thread while its reader holds locks: to collect once more would
        # wait for this very thread.
        return is_within(WandbMetricExporter.export, self)

    def _may_collect(self) -> bool:
        # In a forked child the reader's locks may be held for ever by a thread that is not there any more,
        # and what it would collect has no place to go, unless the child has made a run of its own.
        if not self._lifecycle.is_child:
            return not self._lifecycle.is_stuck
        with self._lock.held():
            return self._pipeline.target.writer() is not None

    def _after_flush(self) -> None:
        self._lane.after_flush()
        self._pipeline.tell_of_late()
        self._announcer.tell_of(self._pipeline.target.run)

    def _refuse(self, samples: list[Sample]) -> None:
        for sample in samples:
            text = "its reader goes on collecting after the shutdown of WandbMetricExporter"
            self._pipeline.ledger.reject("shutdown", f"source {sample.source!r}", text)

    def _collected(self, reader: MetricReader, timeout_millis: float) -> bool:
        try:
            reader.collect(timeout_millis)
        except Exception:
            _logger.exception("could not collect what was recorded; it is tried again at the next interval")
            return False
        return True

    def new_decoder(self) -> Decoder:
        """The rules from collected metrics to samples, by the options of this exporter."""
        decoder = Decoder(self.options.naming, self.options.priorities, self._pipeline.ledger)
        if self.options.self_metrics:
            decoder.skipped_scopes -= {OWN_SCOPE}
        return decoder

    def _on_instrument(self, instrument: Instrument) -> None:
        self._flusher.start()

    def _batches(self, until: float | None, *, everything: bool = False) -> Iterator[list[Sample | Bundle]]:
        return self._lane.batches(self._pipeline.ledger, until, everything=everything)

    def _drain(self, deadline: float | None = None) -> bool:
        taken = self._pipeline.take([], self._batches(None, everything=True), deadline=deadline)
        succeeded = self._pipeline.commit(everything=True, deadline=deadline) and taken
        if succeeded:
            self._self_metrics.caught_up()
        return succeeded

    def _set_alarm(self, succeeded: bool) -> None:
        # With nothing new to collect, the reader does not call `export`.
        deadline = self._pipeline.deadline()
        if not succeeded:
            self._flusher.wake_after(_RETRY_SECONDS)
        elif deadline is not None:
            self._flusher.wake_after(deadline - self._clock())

    def _flush_early(self) -> None:
        exports = self._exports
        self._collect()
        with self._lock.held():
            if exports == self._exports:  # nothing was new, and so the reader did not export
                self._set_alarm(self._pipeline.take([], self._batches(None)))
            else:
                self._set_alarm(self._pipeline.commit())

    def _renew(self) -> None:
        self._lock.renew()
        self._refusing = threading.Lock()
        self._flusher.after_fork()
        self._self_metrics.after_fork()
        self._intake.clear()
        self.readership.after_fork()
        self._lane.clear()
        self.entrances.forget()
        self._pipeline.forget()
        self._decoder = self.new_decoder()


def exporter_of(run: Run) -> WandbMetricExporter | None:
    """The exporter of this process that writes `run`."""
    return next((exporter for exporter in tuple(_living) if exporter.writes(run)), None)


def living_exporters() -> list[WandbMetricExporter]:
    """All exporters of this process that somebody holds on to."""
    return list(_living)
