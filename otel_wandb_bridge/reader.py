"""The reader of a bridge: periodic, and aware of forks and of being shut down twice."""

import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader

from .record import collect_what_can_be
from .record.sdk import renew_export_lock
from .runtime.weakly import weakly

_PATIENCE_SECONDS = 2.0


class BridgeReader(PeriodicExportingMetricReader):
    """Collects once every interval.

    A process is not forked in the middle of a collection: the child would find locks of the SDK's instruments
    held for ever, by a thread that it does not have. So a fork waits until a collection that is under way is
    over, for 2 seconds at most.

    May be shut down more than once: by the bridge, and by the provider when the program ends.

    Args:
        exporter: Where to.
        export_interval_millis: How often.
        leave_out: Told the names of instruments that cannot be collected (`collect_what_can_be`).

    Thread-safety: safe from any thread.
    """

    def __init__(
        self,
        exporter: MetricExporter,
        export_interval_millis: float,
        leave_out: Callable[[list[str]], None],
    ) -> None:
        self._leave_out = leave_out
        self._was_shut_down = False
        self._collecting = threading.RLock()  # reentrant: a callback that is being collected may fork
        self._is_held_for_fork = False
        if hasattr(os, "register_at_fork"):
            # Before the SDK's own hook, which starts a thread in the child.
            os.register_at_fork(
                before=weakly(self._before_fork),
                after_in_parent=weakly(self._after_fork_in_parent),
                after_in_child=weakly(self._after_fork_in_child),
            )
        super().__init__(exporter, export_interval_millis=export_interval_millis)

    # The SDK's types call it final, though nothing else is called before a collection takes its locks.
    def collect(self, timeout_millis: float = 10_000) -> None:  # type: ignore[misc]
        """Collect, and have exported what was collected."""
        with self._collecting:
            collect_what_can_be(self, partial(super().collect, timeout_millis), self._leave_out)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Collect a last time, and end."""
        if not self._was_shut_down:
            self._was_shut_down = True
            super().shutdown(timeout_millis, **kwargs)

    def _before_fork(self) -> None:
        self._is_held_for_fork = self._collecting.acquire(timeout=_PATIENCE_SECONDS)

    def _after_fork_in_parent(self) -> None:
        if self._is_held_for_fork:
            self._is_held_for_fork = False
            self._collecting.release()

    def _after_fork_in_child(self) -> None:
        self._collecting = threading.RLock()
        self._is_held_for_fork = False
        renew_export_lock(self)
