"""The exporter, as OpenTelemetry and its users see it."""

import os
import time
from collections.abc import Callable, Collection, Mapping

from . import options
from .decode import Naming
from .flush.flushing import Flushing
from .records import Sample
from .runtime.living import Living
from .runtime.uninterrupted import uninterrupted
from .spelling import refuses_unknown
from .write import Run

_living: "Living[WandbMetricExporter]" = Living()


class WandbMetricExporter(Flushing):
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
        journal: A file in which the tail of the run survives the end of the process, SIGKILL too: what was
            flushed and W&B may not have stored. Started again on it, with the same run (the same id;
            `wandb.init(id=…, resume="allow")`), the program writes first what is missing, and nothing twice.
            Default: none is kept.
        clock: Seconds that never go back, for `hold`. Default `time.monotonic`; tests inject their own.

    Raises:
        TypeError, ValueError: for an option that cannot be used, a finished run, and a run that another
            exporter of this process writes already.

    Thread-safety: safe from any thread. The reader calls `export` from its own; nothing here runs in the
    threads that record, but for one append a measurement.
    """

    @refuses_unknown
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
        journal: str | os.PathLike[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        resolved = options.resolve(
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
            journal=journal,
        )
        super().__init__(run, resolved, clock)
        _living.add(self)

    @uninterrupted
    def first_step(self) -> int:
        """Where a count of steps goes on, after what the journal has of the run; 0 without one."""
        with self._lock.held():
            return self._pipeline.first_step()


def exporter_of(run: Run) -> WandbMetricExporter | None:
    """The exporter of this process that writes `run`."""
    return next((exporter for exporter in _living if exporter.writes(run)), None)


def living_exporters() -> list[WandbMetricExporter]:
    """All exporters of this process that somebody holds on to."""
    return list(_living)


def keep_exporters() -> None:
    """Hold on to all exporters of this process, also to those to come."""
    _living.keep()
