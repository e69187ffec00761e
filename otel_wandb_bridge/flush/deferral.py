"""What a collection may have caught in part waits for the next one."""

import heapq
import time
from bisect import bisect_right
from collections.abc import Iterator

from ..records import Bundle, Sample

ALL = float("inf")
_SET_BACK_SECONDS = 0.01


class Deferral:
    """Holds back what was measured after a collection began.

    A collection visits one series after the other while threads go on recording, so it may catch a step in
    one series and miss the step before it in another. Up to the moment when it began, it is complete.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self) -> None:
        self._samples: list[Sample] = []
        self._wall_ahead = time.time() - time.monotonic()
        self._untimely = 0

    def __len__(self) -> int:
        return len(self._samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._samples)

    def cut(self, collected_at: float) -> float:
        """Up to when a collection is complete: when it began, in seconds since the epoch.

        `ALL` where the wall clock was set back since the last one. What time says about the order is wrong
        then, so all that there is must be taken in before a row is committed. The next collection may still
        have something from before, too.
        """
        before, self._wall_ahead = self._wall_ahead, time.time() - time.monotonic()
        if self._wall_ahead < before - _SET_BACK_SECONDS:
            self._untimely = 2
        if not self._untimely:
            return collected_at
        self._untimely -= 1
        return ALL

    def pass_on(self, samples: list[Sample], until: float | None) -> list[Sample]:
        """What has waited and what has come, in the order of measurement; what is after `until` waits now.

        Args:
            samples: What was collected, in the order of measurement.
            until: As of `cut`; None: nothing waits.
        """
        waited = self.take_all()
        if until is not None:
            place = bisect_right(samples, until, key=measured_at)
            samples, self._samples = samples[:place], samples[place:]
        # Nothing waits twice: should the wall clock have been set back, `until` is long before all of it.
        return list(heapq.merge(waited, samples, key=measured_at)) if waited else samples

    def give_back(self, samples: list[Sample]) -> None:
        """These were passed on and could not be taken in: they wait, before all others."""
        self._samples = samples + self._samples

    def take_all(self) -> list[Sample]:
        """Nothing waits any longer. Returns what did."""
        samples, self._samples = self._samples, []
        return samples


def measured_at(sample: Sample | Bundle) -> float:
    """By which they are ordered: seconds since the epoch."""
    return sample.time
