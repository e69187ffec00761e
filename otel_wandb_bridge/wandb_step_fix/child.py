"""Calls for a run of another process: a forked child's, or a run that was sent here.

Such a process may end without a word (`os._exit`, as the workers of `multiprocessing` do), and has no thread
that flushes. So each call is written at once, as a row of its own under the number that W&B gives it, with
its step on the axis: late, and never lost.
"""

import threading
from collections.abc import Mapping
from typing import Any

from ..ledger import Ledger
from ..options import resolve
from ..reconcile.refusal import reject
from ..records import Row
from ..write.writer import RunWriter
from .calls import WandbCalls


class Immediate:
    """Writes the calls for one run as they come.

    Thread-safety: safe from any thread; one call waits for the other.
    """

    def __init__(self, run: Any, options: Mapping[str, Any]) -> None:
        known = resolve(**options)
        self.ledger = Ledger()
        self._writer = RunWriter(run, known.step_metric, self.ledger, known.step_keys)
        self._writer.on_refused = lambda row, refused: reject(row, refused, self.ledger)
        self.calls = WandbCalls(
            (*known.step_keys, known.step_metric), known.priorities, known.policy.max_step_jump
        )
        self._lock = threading.Lock()

    def write(self, entry: tuple[Any, ...]) -> None:
        """Write one call, whose `commit` is not False: who knows whether another will follow.

        Raises:
            Exception: what `run.log` raises. The next call tries again.
        """
        with self._lock:
            for bundle in self.calls.samples(entry, self.ledger):
                self._write(bundle)

    def _write(self, bundle: Any) -> None:
        row = Row(bundle.step, bundle.values, bundle.time, len(bundle.values), late=True)
        self._writer.take(row)
        self.ledger.written += row.samples
        self._writer.flush()
