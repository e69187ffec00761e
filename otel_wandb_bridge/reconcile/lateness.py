"""What is counted and said of samples that come too late, or from too far ahead."""

import logging
from collections.abc import Callable, Iterable

from ..causes import LOG_THROUGH_IT, Cause
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
        self._start = 0
        self._foreign_from: int | None = None

    def started_at(self, step: int, foreign_from: int | None) -> None:
        """As of `Reconciler.start_at`."""
        self._start, self._foreign_from = step, foreign_from

    def note(self, source: str, count: int, samples: Iterable[Sample], cause: Cause) -> None:
        """Count late samples of a source."""
        self._ledger.note_late(source, count, cause)
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

    def cause(self, step: int, highest: int) -> Cause:
        """What made a sample of `step` late, whose source has come as far as `highest`."""
        if step < self._start:
            if self._foreign_from is None or step < self._foreign_from:
                return Cause.BEFORE_START
            self._ledger.say_once(
                "foreign",
                "this run",
                "wandb.log has used up steps of it before the bridge came to write: what was recorded of "
                f"these steps is late. Log through the bridge instead ({LOG_THROUGH_IT})",
                level=logging.INFO,  # the line at the end of the run says it
            )
            return Cause.FOREIGN
        if step == highest:
            return Cause.OVERTAKEN
        self._ledger.furthest_back = max(self._ledger.furthest_back, highest - step)
        return Cause.WENT_BACK

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
