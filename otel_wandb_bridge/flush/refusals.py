"""What can have no place in a row, whatever it says: it comes too late, or the SDK cannot collect it."""

import logging
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from ..record import say_uncollectable
from ..records import Kind, Sample
from ..runtime.flush_lock import FlushLock
from ..stats import USED_AFTER_SHUTDOWN
from .pipeline import Pipeline

_logger = logging.getLogger("otel_wandb_bridge")


class Refusals:
    """Counts it, and says it once.

    Args:
        pipeline: Whose ledger has the counts.
        lock: The lock around every flush.

    Thread-safety: safe from any thread.
    """

    def __init__(self, pipeline: Pipeline, lock: FlushLock) -> None:
        self._pipeline = pipeline
        self._lock = lock
        self._refusing = threading.Lock()
        self.late_comers = 0
        """How many values came by `Bridge.log` after the shutdown."""

    def values(self, values: Any) -> None:
        """Values came after the shutdown. Never raises, waits for no flush."""
        try:
            count = len(values) if isinstance(values, Mapping) else 1
        except Exception:
            count = 1
        with self._refusing:
            first, self.late_comers = not self.late_comers, self.late_comers + count
        if first:
            _logger.warning(USED_AFTER_SHUTDOWN)

    def samples(self, samples: Iterable[Sample]) -> None:
        """Samples were collected after the shutdown. The lock is held."""
        for sample in samples:
            if sample.kind is Kind.READING:
                self._pipeline.ledger.leave_out()
                continue
            text = "its reader goes on collecting after the shutdown of WandbMetricExporter"
            self._pipeline.ledger.reject("shutdown", f"source {sample.source!r}", text)

    def instruments(self, names: Iterable[str]) -> None:
        """Instruments had to be left out of a collection: the SDK cannot collect them."""
        with self._lock.held():
            say_uncollectable(names, self._pipeline.ledger)

    def say_of_child(self) -> None:
        """A forked child logs: say that its values go nowhere, unless it has made a run of its own."""
        if not self._pipeline.target.may_have_run:
            _logger.warning(
                "Bridge.log: this process was forked from the one whose run the bridge writes, and a child "
                "writes nothing to it: its values stay pending. Log in the parent (send them there), make a "
                "run of the child's own, or have the parent receive and the child use configure(endpoint=…)"
            )

    def after_fork(self) -> None:
        """In a forked child: a thread that is not there any more may have held the lock."""
        self._refusing = threading.Lock()
