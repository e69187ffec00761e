"""Where every sample ended: the counts behind the law of conservation."""

import logging
from collections import Counter
from dataclasses import dataclass, field

from .causes import Cause

_logger = logging.getLogger("otel_wandb_bridge")

_MOST_SOURCES = 1000
_OTHERS = "other sources"


@dataclass(slots=True)
class Ledger:
    """Counts of one pipeline, each sample in exactly one of the ends.

    Thread-safety: guarded by the lock of the pipeline that owns it; nothing here locks.
    """

    recorded: int = 0
    written: int = 0
    overridden: int = 0
    dropped: int = 0
    shed: int = 0
    sent: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    """Reason to count."""

    late: int = 0
    late_by: Counter[str] = field(default_factory=Counter)
    """Source to count of late samples."""
    late_for: dict[Cause, Counter[str]] = field(default_factory=lambda: {cause: Counter() for cause in Cause})
    """The same, by cause."""
    furthest_back: int = 0
    """How many steps a source went back at most, where that made it late."""
    overridden_by: Counter[str] = field(default_factory=Counter)
    """Source to count of the samples that it overrode, or that were: of those that nobody asked for twice."""
    late_rows: int = 0
    step_regressions: int = 0
    step_jumps: int = 0
    step_leaps: int = 0
    duplicate_steps: int = 0

    rows: int = 0
    log_calls: int = 0
    foreign_steps: int = 0
    successful_flushes: int = 0
    failed_flushes: int = 0
    service_errors: int = 0
    restored: int = 0
    unjournaled: int = 0
    journal_errors: int = 0

    _said: set[tuple[str, str]] = field(default_factory=set)

    def reject(
        self, reason: str, subject: str, text: str, *, count: int = 1, level: int = logging.WARNING
    ) -> None:
        """Count `count` recorded samples as rejected, and say it once for each reason and subject.

        Args:
            reason: A few constant words, the key under which `Stats.rejected_reasons` counts it.
            subject: What it is about: an instrument, a source, a key.
            text: What came, what is expected and what to do.
            count: How many samples.
            level: A `logging` level.
        """
        self.rejected[reason] += count
        self.say_once(reason, subject, text, level=level)

    def leave_out(self) -> None:
        """Count a sample as never recorded: it was read off an observable where nobody could have it."""
        self.recorded -= 1

    def note_late(self, source: str, count: int, cause: Cause = Cause.OVERTAKEN) -> None:
        """Count late samples of a source."""
        self.late += count
        name = _counted(source, self.late_by)
        self.late_by[name] += count
        self.late_for[cause][name] += count

    def note_overridden(self, source: str, count: int) -> None:
        """Count samples that were overridden where `source` reported."""
        self.overridden += count
        self.overridden_by[_counted(source, self.overridden_by)] += count

    def say_once(self, topic: str, subject: str, text: str, *, level: int = logging.WARNING) -> None:
        """Log a line the first time this topic comes up for this subject; the counts say how often."""
        if (topic, subject) in self._said or len(self._said) > 1000:
            return
        self._said.add((topic, subject))
        _logger.log(level, "%s: %s: %s", topic, subject, text)


def _counted(source: str, counts: Counter[str]) -> str:
    """The name under which a source is counted: sources may be without number."""
    return source if source in counts or len(counts) < _MOST_SOURCES else _OTHERS
