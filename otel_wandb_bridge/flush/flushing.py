"""When what was recorded is collected and flushed, by whom, and what comes of it."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from opentelemetry.metrics import Instrument
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExportResult,
    MetricReader,
    MetricsData,
)

from ..attributes import OWN_SCOPE
from ..decode import Decoder, Descriptions, TraceIds
from ..options import Options
from ..record import (
    TEMPORALITY,
    DirectLane,
    HeardOnce,
    Intake,
    Readership,
    collect_what_can_be,
    may_be_uncollectable,
    say_of_collapsing_views,
)
from ..record.clock import NO_STEP, STEP_CLOCK
from ..resource import Announcer, described
from ..runtime.flush_lock import FlushLock
from ..runtime.flusher import Flusher
from ..runtime.signals import tidy
from ..runtime.uninterrupted import is_within, start, uninterrupted
from ..selfmetrics import SelfMetrics, data_points_in
from ..sources import Process
from ..stats import Stats, stats_of
from ..verdict import Strictness
from ..write import Run
from .committing import Committing
from .entrances import Entrances
from .lifecycle import Lifecycle, is_any_bound
from .pipeline import Pipeline
from .refusals import Refusals

_logger = logging.getLogger("otel_wandb_bridge")
_CAREFUL_SECONDS = 2.0


class Flushing(HeardOnce):
    """Decode → reconcile → write, one step after the other: what is behind `WandbMetricExporter`.

    Collections come from the readers, calls from the direct lane, and what other processes have sent from the
    entrances. One lock is held around every flush, and one flush takes from all of them.

    Args:
        run: The run to write to; None follows `wandb.run`.
        options: What the exporter was asked for.
        clock: Seconds that never go back.

    Thread-safety: safe from any thread.
    """

    def __init__(self, run: Run | None, options: Options, clock: Callable[[], float]) -> None:
        self.options = options
        self._strictness = Strictness() if self.options.strict else None
        self._lock = FlushLock(self._after_flush, lambda: self._pipeline.settle())
        self._pipeline = Pipeline(run, self.options, clock)
        self.descriptions = Descriptions(options.naming)
        self._decoder = self._own_decoder()
        self._traces = TraceIds() if self.options.trace_ids else None
        self._flusher = Flusher(self._flush_early)
        self._intake = Intake(self._flusher.wake_soon)
        self._exports = 0
        self._unusable_before = STEP_CLOCK.unusable
        self.committing = Committing(
            self._pipeline,
            self._lock,
            self._flusher,
            options,
            clock,
            on_caught_up=lambda: self._self_metrics.caught_up(),
            is_shut_down=lambda: self.is_shut_down,
        )
        self.entrances = Entrances(
            self._pipeline, self._lock, self.committing.set_alarm, lambda: self.is_shut_down
        )
        self._refusals = Refusals(self._pipeline, self._lock)
        self.readership = Readership(self._intake, self._on_instrument, self._on_provider)
        super().__init__(
            preferred_temporality=TEMPORALITY,
        )
        self._self_metrics = SelfMetrics(self.stats)
        self._announcer = Announcer()
        self._lifecycle = Lifecycle(
            self._lock,
            self._pipeline,
            collect=self.collect,
            drain=self.committing.drain,
            hurry=self._flusher.wake,
            renew=self._renew,
            signal_grace=self.options.signal_grace,
        )
        start()

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        """Take in what was collected and commit the rows that are due.

        Returns:
            `FAILURE` where W&B interrupted the writing; nothing is lost by that, the rows are tried again.
        """
        return self._export(metrics_data, time.monotonic() + timeout_millis / 1e3)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Commit everything that was collected, in ascending order, whatever it waits for.

        Called by the reader's `force_flush` after a collection.

        Returns:
            False where W&B or the timeout interrupted it, or no run is there yet; the rest stays pending.

        Raises:
            SamplesLost: under `strict`, and then alone.
        """
        flushed = self.committing.drain_by(time.monotonic() + timeout_millis / 1e3)
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
            self.committing.drain()
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
        in_lane, shed_by_lane = self.committing.lane.waiting()
        waiting, shed = waiting + in_lane, shed + shed_by_lane
        pipeline, late_comers = self._pipeline, self._refusals.late_comers
        if self._lifecycle.is_shut_down:  # nobody collects what still waits
            late_comers, waiting = late_comers + waiting, 0
        return stats_of(
            pipeline.ledger,
            waiting=waiting,
            shed=shed,
            pending=pipeline.pending + self.entrances.pending,
            unconfirmed=pipeline.unconfirmed,
            refused=late_comers,
            unusable_steps=STEP_CLOCK.unusable - self._unusable_before,
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

    def gives_way(self, how: Callable[[], AbstractContextManager[None]]) -> None:
        """Let another exporter have the run, should one be made for it.

        Args:
            how: Shuts this one down, and keeps others from following it for as long as its context lasts.
        """
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
        return self.committing.lane

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

    def commit_everything(self) -> None:
        """Collect what has been recorded, and commit all of it, however long it takes.

        Losses are for others to raise. From within a flush it does nothing.
        """
        if not self._lock.is_held_here():
            self.collect()
            self.committing.drain_by()

    def flush_every(self, seconds: float) -> None:
        """Flush what the direct lane holds without a reader: the SDK is disabled (`OTEL_SDK_DISABLED`)."""
        self._flusher.repeat(seconds)

    def refuse(self, values: Any) -> None:
        """Count values that came after the shutdown, and say it once. Never raises, waits for no flush."""
        self._refusals.values(values)

    def leave_out(self, instruments: list[str]) -> None:
        """Count and say that instruments are not collected any more: the SDK cannot do it."""
        self._refusals.instruments(instruments)

    @uninterrupted
    def _export(self, metrics_data: MetricsData, deadline: float) -> MetricExportResult:
        with self._self_metrics.operation(data_points_in(metrics_data)) as operation, self._lock.held():
            self._exports += 1
            if self._pipeline.target.is_over:
                self._pipeline.admission.is_superseded = is_any_bound()
            decoded = self._decoder.decode(metrics_data)
            if self._traces is not None:
                decoded = self._traces.added_to(decoded, metrics_data, self._pipeline.ledger)
            self.readership.say_of_rivals(self._pipeline.ledger)
            self._say_of_collapsed()
            if self._lifecycle.is_shut_down:
                self._refusals.samples(decoded.samples)
                operation.error, operation.is_final = "already_shutdown", True
                return MetricExportResult.FAILURE
            self._pipeline.describe("resource", described(metrics_data))
            self._pipeline.describe("metrics", self.descriptions.news())
            until = self._pipeline.deferral.cut(decoded.collected_at)
            succeeded = self.committing.take(decoded.samples, until, deadline=deadline)
            if not succeeded:
                operation.error = self._pipeline.interrupted_by or "timeout"
            self.committing.set_alarm(succeeded)
        return MetricExportResult.SUCCESS if succeeded else MetricExportResult.FAILURE

    @uninterrupted
    def _collect(self, timeout_millis: float = 30_000) -> bool:
        self.entrances.drain()
        exports = self._exports
        readers = self.readership.readers() if self._may_collect() else []
        succeeded = [self._collected(reader, timeout_millis) for reader in readers]
        if exports == self._exports:  # nothing was new, and so no reader did export
            self.committing.take_lane()
        return bool(succeeded) and all(succeeded)

    @uninterrupted
    def _flush_everything(self, timeout_millis: float) -> bool:
        deadline = time.monotonic() + timeout_millis / 1e3
        collected = self._collect(timeout_millis)
        return self.force_flush(max(0.0, deadline - time.monotonic()) * 1e3) and collected

    def _is_exporting_here(self) -> bool:
        # A signal handler has come to this thread while its reader holds locks: to collect once more would
        # wait for this very thread.
        return is_within(Flushing.export, self)

    def _may_collect(self) -> bool:
        # In a forked child the reader's locks may be held for ever by a thread that is not there any more,
        # and what it would collect has no place to go, unless the child has made a run of its own.
        if not self._lifecycle.is_child:
            return not self._lifecycle.is_stuck
        with self._lock.held():
            return self._pipeline.target.writer() is not None

    def _after_flush(self) -> None:
        self.committing.lane.after_flush()
        self._pipeline.tell_of_late()
        self._announcer.tell_of(self._pipeline.target.run)

    def _collected(self, reader: MetricReader, timeout_millis: float) -> bool:
        try:
            collect_what_can_be(reader, partial(reader.collect, timeout_millis), self.leave_out)
        except Exception:
            _logger.exception("could not collect what was recorded; it is tried again at the next interval")
            return False
        return True

    def new_decoder(self) -> Decoder:
        """The rules from collected metrics to samples, by the options of this exporter."""
        decoder = Decoder(
            self.options.naming, self.options.priorities, self._pipeline.ledger, self.descriptions
        )
        if self.options.self_metrics:
            decoder.skipped_scopes -= {OWN_SCOPE}
        return decoder

    def _own_decoder(self) -> Decoder:
        decoder = self.new_decoder()
        decoder.collapsed = set()
        return decoder

    def _say_of_collapsed(self) -> None:
        # Where nobody says a step, none is lost.
        is_stepped = self._pipeline.newest is not None or STEP_CLOCK.state != NO_STEP
        if self._decoder.collapsed and is_stepped:
            metrics, self._decoder.collapsed = self._decoder.collapsed, set()
            say_of_collapsing_views(self.readers(), metrics, self._pipeline.ledger)

    def _on_instrument(self, instrument: Instrument) -> None:
        self._flusher.start()

    def _on_provider(self, instrument: Instrument) -> None:
        if may_be_uncollectable(instrument):
            # The thread of a reader that is not ours ends at the first collection that fails.
            self._flusher.repeat(_CAREFUL_SECONDS)

    def _flush_early(self) -> None:
        exports, began = self._exports, time.time()
        # A collection is dear. Without one, what is measured from now on must wait for the next flush.
        is_collected = self._intake.waiting()[0] > 0 or self._flusher.is_periodic
        if is_collected:
            self._collect()
        else:
            self.entrances.drain()
        with self._lock.held():
            if exports == self._exports:  # the reader did not export, for nothing was new
                until = None if is_collected else self._pipeline.deferral.cut(began)
                succeeded = self.committing.take([], until)
            else:
                succeeded = self._pipeline.commit()
            self.committing.set_alarm(succeeded)

    def _renew(self) -> None:
        self._lock.renew()
        self._refusals.after_fork()
        self._flusher.after_fork()
        self._self_metrics.after_fork()
        self._intake.clear()
        self.readership.after_fork()
        self.committing.lane.clear()
        self.committing.lane.before_next_log(self._refusals.say_of_child)
        self.entrances.forget()
        self._pipeline.forget()
        self._decoder = self._own_decoder()
