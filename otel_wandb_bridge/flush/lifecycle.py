"""What a program does to an exporter besides recording: its run finishes, it forks, it ends."""

import logging
import os
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress

from ..record.clock import STEP_CLOCK
from ..runtime.exit import before_exit
from ..runtime.flush_lock import FlushLock
from ..runtime.signals import protect, release
from ..runtime.uninterrupted import uninterrupted
from ..runtime.weakly import weakly
from ..write import INTERRUPTED, Run, before_finish
from .pipeline import Pipeline

_logger = logging.getLogger("otel_wandb_bridge")
_all: "weakref.WeakSet[Lifecycle]" = weakref.WeakSet()


class Lifecycle:
    """Has everything written in time before a run finishes and before the program ends.

    W&B, the exit of the interpreter and the fork hooks hold on to it weakly, so that an exporter that nobody
    uses any more can go.

    Args:
        lock: Held around every flush.
        pipeline: What is flushed.
        collect: Takes in what has been recorded.
        drain: Commits everything that was taken in; called with the lock held.
        hurry: Has what waits written soon, and never waits itself.
        renew: In a forked child: makes new locks, and forgets what waits.
        signal_grace: How long writing may take after a signal that ends the program, in seconds.

    Thread-safety: safe from any thread.
    """

    def __init__(
        self,
        lock: FlushLock,
        pipeline: Pipeline,
        *,
        collect: Callable[[], object],
        drain: Callable[[], object],
        hurry: Callable[[], None],
        renew: Callable[[], None],
        signal_grace: float,
    ) -> None:
        self._lock = lock
        self._pipeline = pipeline
        self._collect = collect
        self._drain = drain
        self._renew = renew
        self.hurry = hurry
        self.is_shut_down = False
        self.is_child = False
        """This process was forked from the one that made the exporter."""
        self.is_stuck = False
        """A signal ends the program, and a collection waits for what the interrupted main thread holds."""
        _all.add(self)
        self._forget_finish = before_finish(weakly(self._before_finish))
        weakref.finalize(self, self._forget_finish).atexit = False
        before_exit(self._before_exit)
        protect(self, signal_grace)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=weakly(self._after_fork))

    def shut_down(self) -> None:
        """Let go of the run, which is written as far as it can be; call it with the lock held."""
        self.is_shut_down = True
        self._pipeline.finish_run()
        self._forget_finish()
        release(self)

    def rescue(self, seconds: float) -> None:
        """Write what was recorded and finish the run: a signal ends the program. See `signals`."""
        collecting = threading.Thread(target=self._collect, name="otel-wandb-last-collection", daemon=True)
        with suppress(RuntimeError):  # at the exit of the interpreter (Python 3.12 on), which collects, too
            collecting.start()
            collecting.join(seconds / 2)
        self.is_stuck = collecting.is_alive()
        self._pipeline.target.finish(INTERRUPTED)

    def _before_finish(self, run: Run | None) -> None:
        if self._lock.is_held_here():
            # A signal handler finishes the run in the middle of our own flush: to flush again would wait
            # for this very thread, and write the row in flight twice.
            _logger.warning("the run is finished from within a flush; what is not written yet is lost")
            self._pipeline.finish_run()
            return
        concerned = self._is_concerned(run)
        if concerned:
            self._collect()
            self._finish()
        if (concerned or self.is_shut_down) and not is_any_bound():
            STEP_CLOCK.reset()

    @uninterrupted
    def _is_concerned(self, run: Run | None) -> bool:
        with self._lock.held():
            return not self.is_shut_down and self._pipeline.target.writes(run)

    @uninterrupted
    def _finish(self) -> None:
        with self._lock.held():
            self._drain()
            self._pipeline.finish_run()

    def _before_exit(self) -> None:
        if self.is_shut_down or self._lock.is_held_here():
            return
        self._collect()
        self._write_the_last()

    @uninterrupted
    def _write_the_last(self) -> None:
        with self._lock.held():
            self._drain()
            self._pipeline.say_what_is_left()
            self._pipeline.conclude()
            self._pipeline.admission.is_exiting = True

    def _after_fork(self) -> None:
        self.is_child = True
        self._renew()

    @property
    def is_bound(self) -> bool:
        """Whether there is a run to write."""
        return self._pipeline.target.is_bound


def is_any_bound() -> bool:
    """Whether any exporter of the process has a run to write."""
    return any(each.is_bound for each in tuple(_all))
