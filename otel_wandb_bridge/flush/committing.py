"""The direct lane and the pipeline: what both hold is taken in and committed together, in one flush."""

import time
from collections.abc import Callable, Collection, Iterator
from typing import TypeVar

from ..options import Options
from ..record import DirectLane
from ..record.lane import Entry
from ..records import Bundle, Sample
from ..runtime.flush_lock import FlushLock
from ..runtime.flusher import Flusher
from ..runtime.uninterrupted import uninterrupted
from .pipeline import Pipeline

_RETRY_SECONDS = 2.0
_T = TypeVar("_T")


class Committing:
    """Takes in, commits, and has the next flush come in time.

    Args:
        pipeline: Where samples are taken in.
        lock: Held around every flush.
        flusher: Woken when the lane fills up, and at the next deadline.
        options: What the exporter was asked for.
        clock: Seconds that never go back.
        on_caught_up: Called when nothing waits any more.
        is_shut_down: Whether what comes into the lane is for others to take back.

    Thread-safety: safe from any thread, but for `take`, `drain` and `set_alarm`, which want the lock held.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        lock: FlushLock,
        flusher: Flusher,
        options: Options,
        clock: Callable[[], float],
        on_caught_up: Callable[[], None],
        is_shut_down: Callable[[], bool],
    ) -> None:
        self._pipeline = pipeline
        self._lock = lock
        self._flusher = flusher
        self._clock = clock
        self._on_caught_up = on_caught_up
        self._is_shut_down = is_shut_down
        self.lane = DirectLane(options.priorities, axis=options.step_metric)
        self.lane.on_high_water = flusher.wake_soon

    def take(
        self, samples: list[Sample], until: float | None = None, *, deadline: float | None = None
    ) -> bool:
        """Take in what was collected and what the lane holds, and commit what is due; see `Pipeline.take`."""
        return self._pipeline.take(samples, self._batches(until), until=until, deadline=deadline)

    @uninterrupted
    def take_lane(self) -> bool:
        """Take in what the lane holds, and commit what is due: no collection has done it."""
        with self._lock.held():
            return self.take([])

    def drain(self, deadline: float | None = None) -> bool:
        """Commit everything, whatever it waits for.

        Args:
            deadline: Stop at this time (seconds of `time.monotonic`); what is left stays pending.

        Returns:
            False where W&B or the deadline interrupted it.
        """
        succeeded, rows = False, -1
        # Again after a failure, as long as each time some rows are written: nobody may come after us.
        while not succeeded and self._pipeline.ledger.rows > rows:
            rows = self._pipeline.ledger.rows
            taken = self._pipeline.take([], self._batches(None, everything=True), deadline=deadline)
            succeeded = self._pipeline.commit(everything=True, deadline=deadline) and taken
            if deadline is not None and time.monotonic() >= deadline:
                break
        if succeeded:
            self._on_caught_up()
        return succeeded

    @uninterrupted
    def drain_by(self, deadline: float | None = None) -> bool:
        """Commit everything by a deadline, or however long it takes. Returns whether nothing is left."""
        timeout = -1 if deadline is None else max(0.0, deadline - time.monotonic())
        with self._lock.held(timeout=timeout) as is_ours:
            return is_ours and self.drain(deadline) and not self._pipeline.pending

    def set_alarm(self, succeeded: bool) -> None:
        """After a flush: have the next one come in time, should there be nothing for a reader to collect."""
        deadline = self._pipeline.deadline()
        if not succeeded:
            self._flusher.wake_after(_RETRY_SECONDS)
        elif deadline is not None:
            self._flusher.wake_after(deadline - self._clock())

    @uninterrupted
    def look_at_lane(self, look: Callable[[tuple[Entry, ...]], _T]) -> _T:
        """Call `look` with what waits in the lane, while no flush takes it out."""
        with self._lock.held():
            return look(self.lane.peek())

    @uninterrupted
    def write_before_summary(self, keys: Collection[str] | None, *, is_set: bool) -> None:
        """The program is about to read these keys of the run's summary (None: all), or to write them.

        What was logged under them before, and still waits, is committed first.
        """
        with self._lock.held():
            if keys is None or self.lane.holds(keys) or self._pipeline.holds(keys):
                self.take([])
                self._pipeline.commit(everything=True)
            writer = self._pipeline.target.writer()
            if is_set and keys is not None and writer is not None:
                writer.summary_was_set(keys)

    def is_flushing_here(self) -> bool:
        """Whether this very thread is in the middle of a flush."""
        return self._lock.is_held_here()

    def _batches(self, until: float | None, *, everything: bool = False) -> Iterator[list[Sample | Bundle]]:
        if self._is_shut_down():
            return iter(())
        return self.lane.batches(self._pipeline.ledger, until, everything=everything)
