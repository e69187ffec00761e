"""What is counted and said of samples that come too late, or from too far ahead."""

import logging
from collections.abc import Callable, Iterable

from ..ledger import Ledger
from ..records import Sample
from .policy import Policy


class Lateness:
    """Tells the ledger, the log and the user.

    Args:
        policy: The rules, which the log names.
        ledger: Where late samples are counted.
        on_late: Told each late sample; it must be quick, and not raise.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, policy: Policy, ledger: Ledger, on_late: Callable[[Sample], None] | None) -> None:
        self._policy = policy
        self._ledger = ledger
        self._on_late = on_late

    def note(self, source: str, count: int, samples: Iterable[Sample]) -> None:
        """Count late samples of a source."""
        self._ledger.note_late(source, count)
        if self._on_late is not None:
            for sample in samples:
                self._on_late(sample)

    def say(self, source: str, step: int, committed: int | None) -> None:
        """Log a source that was late for the first time."""
        self._ledger.say_once(
            "late",
            f"source {source!r}",
            f"it reported step {step} after the row of step {committed} was committed; policy "
            f"late={self._policy.late!r} applies. Where two components share a source, give each its own; "
            f"where it is slower than hold={self._policy.hold} s, raise hold, or name it in expected_sources",
            level=logging.INFO,
        )

    def note_leap(self, source: str, step: int, samples: int) -> None:
        """Count samples whose step is ahead of all reason, and log the first of a source."""
        self._ledger.step_leaps += samples
        self._ledger.say_once(
            "step leap",
            f"source {source!r}",
            f"it reported step {step}, more than max_step_jump={self._policy.max_step_jump} ahead of all "
            "others; this is treated as late. If it is a timestamp, pass the training step; if it is right, "
            "raise max_step_jump",
        )
