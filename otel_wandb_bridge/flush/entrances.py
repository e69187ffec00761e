"""Who else hands samples to an exporter: what other processes have sent."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..reconcile.standing import Standing
from ..records import Sample
from ..runtime.flush_lock import FlushLock
from .entrance import Entrance, Memory
from .pipeline import Pipeline


class Entrances:
    """Where entrances meet the pipeline of an exporter.

    Args:
        pipeline: Where samples go.
        lock: Held around every flush.
        after: Told after each taking in whether everything due was written.
        is_shut_down: Whether the exporter takes nothing any more.

    Thread-safety: safe from any thread.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        lock: FlushLock,
        after: Callable[[bool], None],
        is_shut_down: Callable[[], bool],
    ) -> None:
        self._pipeline = pipeline
        self._lock = lock
        self._after = after
        self._is_shut_down = is_shut_down
        self._entrances: list[Entrance] = []
        self._gathering = threading.Lock()
        self._gatherers = 0

    def add(self, entrance: Entrance, memory: Memory | None = None) -> None:
        """Make known who else hands samples in, and what is known of the rows of a run that is resumed."""
        self._entrances.append(entrance)
        if memory is not None:
            with self._lock.held():
                self._pipeline.memory = memory

    def remove(self, entrance: Entrance) -> None:
        """It has handed in everything, and hands in nothing more."""
        with self._lock.held():
            self._entrances.remove(entrance)
            self._pipeline.forget_memory()

    def receive(self, take: Callable[[Pipeline], list[Sample]]) -> bool:
        """Take in what other processes have sent, and commit the rows that are due.

        Args:
            take: Gives the samples, and counts them in the ledger; called under the lock of the pipeline.

        Returns:
            False where W&B interrupted the writing (nothing is lost by that), or after the shutdown.
        """
        with self._lock.held():
            samples = take(self._pipeline)
            if self._is_shut_down():
                text = "it was received after the shutdown of the exporter"
                for sample in samples:
                    self._pipeline.ledger.reject("shutdown", f"source {sample.source!r}", text)
                return False
            succeeded = self._pipeline.receive(samples)
            self._after(succeeded)
        return succeeded

    def drain(self) -> None:
        """Have all of them hand in everything, and wait for it; see `gathering`."""
        if not self._entrances:
            return
        with self.gathering():
            for entrance in tuple(self._entrances):
                entrance.drain()

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """What is handed in meanwhile is committed by the next who takes in: what was recorded here, and is
        collected after it, belongs to the same rows."""
        self._gather(1)
        try:
            yield
        finally:
            self._gather(-1)

    def _gather(self, more: int) -> None:
        with self._gathering:  # two flushes may do so at once
            self._gatherers += more
            self._pipeline.is_gathering = self._gatherers > 0

    def forget(self) -> None:
        """In a forked child: what they hold is the parent's to write."""
        for entrance in self._entrances:
            entrance.forget()
        self._entrances.clear()
        self._gathering = threading.Lock()
        self._gatherers = 0
        self._pipeline.is_gathering = False

    @property
    def pending(self) -> int:
        """How many samples were counted as recorded, and are held back by entrances."""
        return sum(entrance.pending for entrance in tuple(self._entrances))

    @property
    def is_over(self) -> bool:
        """Whether the one run that was given has finished, or the exporter was shut down."""
        return self._pipeline.target.is_over or self._is_shut_down()

    @property
    def is_full(self) -> bool:
        """Whether as much waits as may wait: nothing can be written at present."""
        return self._pipeline.is_full

    def standing(self) -> Standing:
        """How far all sources have come. Never waits for a flush."""
        return self._pipeline.standing()
