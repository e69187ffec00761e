"""What became of all that was recorded."""

from collections.abc import Iterable, Iterator

from ..plural import count_of
from ..stats import Stats
from ..write.run import active_run
from .finding import FINE, NOTE, TROUBLE, Finding

_RECORD = "record with instruments of metrics.get_meter() or bridge.meter_provider, or with Bridge.log"


def look_at_counts(counts: Iterable[Stats], *, is_over: bool = False) -> Iterator[Finding]:
    """By exporter.

    Args:
        counts: Of each of them.
        is_over: Nothing more comes: what still waits is lost.
    """
    told = list(counts)
    is_any = any(stats.recorded for stats in told)
    for stats in told:
        written = f"{stats.written:,} written in {count_of(stats.rows, 'row')}"
        text = f"{stats.recorded:,} recorded, {written}, {stats.pending:,} waiting"
        if is_any:
            yield Finding("samples", FINE if stats.is_conserved() else NOTE, text)
        else:
            yield Finding(
                "samples", NOTE, "there is a bridge, and nothing has been recorded with it", _RECORD
            )
        yield from about_losses(stats, _mend_of_shed())
        if is_over and stats.pending:
            yield _about_left(stats)
        yield from _about_steps(stats)
        yield from _about_writing(stats)


def about_losses(stats: Stats, mend_of_shed: str) -> Iterator[Finding]:
    """What is rejected, shed or dropped, each with its mend."""
    if stats.rejected:
        named = ", ".join(f"{reason} {count:,}" for reason, count in stats.rejected_reasons.items())
        text = f"{count_of(stats.rejected, 'sample')} ({named})"
        yield Finding("rejected", TROUBLE, text, "the log names each kind")
    if stats.shed:
        text = f"{count_of(stats.shed, 'sample')} that could not be written in time"
        yield Finding("shed", TROUBLE, text, mend_of_shed)
    if stats.dropped:
        text = f"{count_of(stats.dropped, 'late sample')}, as late='drop' asks"
        yield Finding("dropped", TROUBLE, text, "late='keep'")


def _mend_of_shed() -> str:
    if active_run() is None:
        return "wandb.init earlier, or raise max_pending"
    return "see the log for W&B's errors"


def _about_left(stats: Stats) -> Finding:
    samples = count_of(stats.pending, "sample")
    if active_run() is None:
        text = f"{samples} that no run was there for"
        return Finding("left", TROUBLE, text, "wandb.init() before the program ends, and before run.finish()")
    return Finding("left", TROUBLE, f"{samples} that could not be written", "see the log for W&B's errors")


def _about_steps(stats: Stats) -> Iterator[Finding]:
    if stats.late:
        sources = ", ".join(f"{source} {count:,}" for source, count in stats.late_by_source.items())
        mend = "raise hold, name the source in expected_sources, or give each component a source of its own"
        text = f"{count_of(stats.late, 'sample')} that came after the row of the step ({sources})"
        yield Finding("late", NOTE, text, mend)
    if stats.step_leaps:
        text = f"{count_of(stats.step_leaps, 'sample')} too far ahead of all others, as a timestamp would be"
        mend = "give the training step, or raise max_step_jump if it is one"
        yield Finding("step leaps", NOTE, text, mend)
    if stats.foreign_steps:
        text = f"something else that writes to the run used up {count_of(stats.foreign_steps, 'W&B step')}"
        yield Finding("foreign steps", NOTE, text, "Bridge.log(values, step=…) or patch_wandb_log()")


def _about_writing(stats: Stats) -> Iterator[Finding]:
    if stats.journal_errors:
        times = count_of(stats.journal_errors, "time")
        text = f"it could not be written, {times}: a kill loses the tail of the run"
        yield Finding("journal", TROUBLE, text, "make room, or give another journal")
    if stats.unjournaled:
        values = count_of(stats.unjournaled, "value", "values")
        text = f"without {values} (images, tables, arrays), which a kill may lose"
        yield Finding("journal", NOTE, text)
    if stats.failed_flushes:
        flushes = count_of(stats.failed_flushes, "flush", "flushes")
        text = f"W&B interrupted {flushes}; what was left of them is tried again"
        yield Finding("flushes", NOTE, text, "see the log for W&B's errors")
