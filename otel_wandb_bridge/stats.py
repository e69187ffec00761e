"""What became of everything that was recorded, for people and tests to look at."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from .ledger import Ledger

USED_AFTER_SHUTDOWN = (
    "shutdown: Bridge.log: it is used after the shutdown, and its values are lost: shut it down after the "
    "last of them, or make another with configure()"
)


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since the bridge was made. In samples (one value of one key at one step) unless said otherwise.

    Every sample ends in exactly one of written, overridden, dropped, rejected, shed, sent and pending.
    """

    recorded: int
    """All that came in."""
    written: int
    """In a committed row of a run."""
    overridden: int
    """Lost to a higher priority or a later measurement of the same key at the same step."""
    dropped: int
    """Late, under the policy `late="drop"`."""
    rejected: int
    """Unusable; `rejected_reasons` says why."""
    shed: int
    """Given up because a buffer was full."""
    pending: int
    """Waiting to be written."""

    late: int
    """Came after the row of their step was committed (under `keep` and `merge` they are written too)."""
    late_rows: int
    """Rows that were written for late samples."""
    rows: int
    """Rows committed."""
    log_calls: int
    """Calls of `run.log`."""
    foreign_steps: int
    """W&B steps that another writer of the same run used up."""
    step_regressions: int
    """How often a source reported a lower step than right before."""
    step_jumps: int
    """How often a source left out steps."""
    step_leaps: int
    """Samples whose step was further ahead than `max_step_jump`."""
    duplicate_steps: int
    """Samples of a key and step that the same source had reported already."""
    successful_flushes: int
    """Flushes that wrote what was due."""
    failed_flushes: int
    """Flushes that W&B interrupted; what they left is tried again."""
    service_errors: int = 0
    """How often W&B's service wrote to its log that it cannot store rows, or uploads them no more."""
    restored: int = 0
    """Of `recorded`: taken out of the journal, after another process had recorded them and was killed."""
    unjournaled: int = 0
    """Values in rows that the journal cannot hold: images, tables, arrays."""
    journal_errors: int = 0
    """How often the journal could not be written."""
    rejected_reasons: Mapping[str, int] = field(default_factory=dict)
    """Reason to count."""
    late_by_source: Mapping[str, int] = field(default_factory=dict)
    """Source to its part of `late`."""
    overridden_by_source: Mapping[str, int] = field(default_factory=dict)
    """Source to how many samples were overridden when it reported; not those that come again by themselves,
    such as readings of an observable instrument."""
    sent: int = 0
    """On a worker: acknowledged by the receiver, whose counts say what became of them there."""

    unusable_steps: int = 0
    """How often `training_step` or `set_step` was given a step that cannot be used, in this process."""

    def __repr__(self) -> str:
        """What is recorded, and all that is not zero."""
        counts = {each.name: getattr(self, each.name) for each in fields(self)}
        shown = (f"{name}={count}" for name, count in counts.items() if count or name == "recorded")
        return f"Stats({', '.join(shown)})"

    @property
    def accounted(self) -> int:
        """The sum of all ends."""
        ends = self.written + self.overridden + self.dropped + self.rejected + self.shed + self.sent
        return ends + self.pending

    def is_conserved(self) -> bool:
        """The law of conservation: every sample that was recorded is accounted for, once.

        It holds at any quiet moment: while another thread records, the two sides may be read apart.
        """
        return self.recorded == self.accounted


def stats_of(
    ledger: Ledger,
    *,
    waiting: int,
    shed: int,
    pending: int,
    unconfirmed: int = 0,
    refused: int = 0,
    unusable_steps: int = 0,
) -> Stats:
    """The counts of a pipeline.

    Args:
        ledger: The counts of what was taken in.
        waiting: How many samples wait to be taken in.
        shed: How many were shed before they could be.
        pending: How many were taken in and wait to be written.
        unconfirmed: How many of these count as written in the ledger: they are on their way.
        refused: How many came after the shutdown.
        unusable_steps: As of `Stats`.
    """
    reasons = dict(ledger.rejected)
    if refused:
        reasons["shutdown"] = reasons.get("shutdown", 0) + refused
    return Stats(
        recorded=ledger.recorded + waiting + shed + refused,
        written=ledger.written - unconfirmed,
        overridden=ledger.overridden,
        dropped=ledger.dropped,
        rejected=sum(reasons.values()),
        shed=ledger.shed + shed,
        pending=pending + waiting,
        late=ledger.late,
        late_rows=ledger.late_rows,
        rows=ledger.rows,
        log_calls=ledger.log_calls,
        foreign_steps=ledger.foreign_steps,
        step_regressions=ledger.step_regressions,
        step_jumps=ledger.step_jumps,
        step_leaps=ledger.step_leaps,
        duplicate_steps=ledger.duplicate_steps,
        successful_flushes=ledger.successful_flushes,
        failed_flushes=ledger.failed_flushes,
        service_errors=ledger.service_errors,
        restored=ledger.restored,
        unjournaled=ledger.unjournaled,
        journal_errors=ledger.journal_errors,
        rejected_reasons=reasons,
        late_by_source=dict(ledger.late_by),
        overridden_by_source=dict(ledger.overridden_by),
        sent=ledger.sent,
        unusable_steps=unusable_steps,
    )
