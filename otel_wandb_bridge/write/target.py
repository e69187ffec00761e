"""Which run the rows go to: one that was given, or the one that `wandb.init` makes."""

import logging
import os
import threading
import weakref
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ..ledger import Ledger
from ..patterns import ByKey
from .distribution import ALL_ALIKE
from .finish import watch
from .run import Run, active_run, check, is_of_another_process, refuses_rows
from .writer import RunWriter

_logger = logging.getLogger("otel_wandb_bridge")
_lock = threading.Lock()
_owners: "weakref.WeakKeyDictionary[Run, weakref.ReferenceType[RunTarget]]" = weakref.WeakKeyDictionary()


class RunTaken(ValueError):
    """Another exporter of this process writes the run."""


class RunTarget:
    """Finds the run and holds on to it until it finishes; one writer per run.

    Args:
        run: The run to write to; None follows `wandb.run`, one run after the other.
        step_metric: The axis key.
        ledger: The counts of the pipeline.
        step_keys: As of `RunWriter`.
        histograms: As of `RunWriter`.

    Raises:
        TypeError: it is no run.
        RunTaken: another exporter of this process writes it.
        ValueError: the run is finished.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(
        self,
        run: Run | None,
        step_metric: str,
        ledger: Ledger,
        step_keys: Collection[str] = (),
        histograms: ByKey[tuple[str, ...]] = ALL_ALIKE,
    ) -> None:
        self._step_metric = step_metric
        self._step_keys = step_keys
        self._histograms = histograms
        self._ledger = ledger
        self._follows = run is None
        self._not_ours: Run | None = None
        self._writer: RunWriter | None = None
        self.gives_way: Callable[[], AbstractContextManager[None]] | None = None
        """What lets go of the run when somebody else wants it, and stays away meanwhile; None: nobody may."""
        self.is_over = False
        """The one run that was given has finished: nothing more can be written."""
        if run is not None:
            check(run)
            self._writer = self._bound(run)

    def writer(self) -> RunWriter | None:
        """The writer of the run, or None where there is no run yet (or no longer)."""
        if self._follows:
            self._follow()
        return self._writer

    @property
    def is_bound(self) -> bool:
        """Whether a run is being written."""
        return self._writer is not None

    @property
    def unconfirmed(self) -> int:
        """Samples of rows that the writer took and that are not written yet."""
        writer = self._writer
        return 0 if writer is None else writer.unconfirmed

    @property
    def run(self) -> Run | None:
        """The run that is being written."""
        writer = self._writer
        return None if writer is None else writer.run

    @property
    def may_have_run(self) -> bool:
        """Whether there is a run to write, or one to follow. Never waits."""
        if self._writer is not None:
            return True
        run = active_run() if self._follows else None
        return run is not None and run is not self._not_ours

    def writes(self, run: Run | None) -> bool:
        """Whether the rows go to `run` (None: to any run that there is)."""
        writer = self.writer()
        return writer is not None and (run is None or writer.run is run)

    def tell(self) -> None:
        """As `RunWriter.tell`."""
        if self._writer is not None:
            self._writer.tell()

    def put_into_summary(self, values: dict[str, Any]) -> None:
        """Put values into the summary of the run that is being written."""
        if self._writer is not None:
            self._writer.put_into_summary(values)

    def put_into_config(self, sections: Mapping[str, Mapping[str, Any]]) -> None:
        """Add entries to sections of `otel` in the config of the run that is being written."""
        if self._writer is not None:
            self._writer.config.describe(sections)

    def release(self) -> None:
        """The run is about to finish: let it go."""
        if self._writer is None:
            return
        with _lock:
            _owners.pop(self._writer.run, None)
        self._writer.close()
        # W&B still calls it active while it finishes.
        self._not_ours = self._writer.run
        self._writer = None
        self.is_over = not self._follows

    def finish(self, exit_code: int) -> None:
        """Finish the run, unless it is another process's to finish. What waits is written by that."""
        run = self.run
        if run is not None and not is_of_another_process(run):
            run.finish(exit_code=exit_code)

    def forget(self, ledger: Ledger) -> None:
        """In a forked child: the run is the parent's, and another writer would spoil its steps."""
        self._ledger = ledger
        self._not_ours = self._writer.run if self._writer is not None else active_run()
        if self._writer is not None:
            self._writer.after_fork()
        self._writer = None  # not closed: what a child logs must not cost the parent a row

    def _follow(self) -> None:
        if self._writer is not None:
            return
        run = active_run()
        if run is None or run is self._not_ours:
            return
        try:
            self._writer = self._bound(run)
        except Exception as error:
            self._ledger.say_once("run", _name(run), str(error), level=logging.ERROR)

    def _bound(self, run: Run) -> RunWriter:
        other = _owner_of(run)
        gives_way = None if other is None or other is self else other.gives_way
        with nullcontext() if gives_way is None else gives_way(), _lock:
            if _owner_of(run) not in (None, self):
                raise RunTaken(
                    f"run {_name(run)} already has a bridge in this process, and two writers would use up "
                    "each other's steps; shut that one down first, or record through it"
                )
            try:
                writer = RunWriter(run, self._step_metric, self._ledger, self._step_keys, self._histograms)
            except Exception as error:
                if refuses_rows(error):
                    raise ValueError(
                        f"run {_name(run)} is finished; pass a run that is active, or None to follow "
                        "wandb.init"
                    ) from error
                raise
            _owners[run] = weakref.ref(self)
        watch(run)
        return writer


def _owner_of(run: Run) -> RunTarget | None:
    owner = _owners.get(run)
    return owner() if owner is not None else None


def _name(run: Run) -> str:
    return repr(getattr(run, "id", None) or run)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # a thread that is not there any more may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
