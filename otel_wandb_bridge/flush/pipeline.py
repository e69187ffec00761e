"""The road from samples to committed rows, which all entrances share: reconcile, then write."""

import heapq
import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..ledger import Ledger
from ..options import Options
from ..plural import count_of
from ..reconcile import Reconciler
from ..reconcile.refusal import reject
from ..reconcile.standing import Standing, standing_of
from ..records import Bundle, Row, Sample
from ..runtime.pacer import Pacer
from ..sources import Process
from ..verdict import Verdict
from ..write import Run, RunTarget, RunWriter, tell
from .admission import Admission
from .deferral import ALL, Deferral, measured_at
from .entrance import Memory
from .journaling import Journaling

_DEFERRED_SECONDS = 1.0
_NO_RUN = "there is no run (no wandb.init, or the run is over)"


class Pipeline:
    """Takes samples in and commits the rows that are due.

    Thread-safety: none of its own; the exporter holds one lock around every call, but for reading counts.
    """

    def __init__(self, run: Run | None, options: Options, clock: Callable[[], float]) -> None:
        self.ledger = Ledger()
        self.target = RunTarget(run, options.step_metric, self.ledger, options.step_keys, options.histograms)
        self._policy = options.policy
        self._clock = clock
        self.deferral = Deferral()
        self._on_late = options.on_late
        self._late: list[Sample] = []
        self._summary_counts = options.summary_counts
        self._writer_is_known = False
        self._writer = options.writer
        self._pacer = Pacer()
        self.admission = Admission(options.step_metric, self.target, self.ledger, self._pacer.tick)
        self._description: dict[str, dict[str, Any]] = {}
        self._is_described = True
        self.interrupted_by: str | None = None
        """What kept the last commit from its end: the name of an exception's class, or `timeout`."""
        self.memory: Memory | None = None
        """What is known of the rows of a run that is resumed, and is told of those to come."""
        self._journaling = Journaling(options, self.ledger, self.target)
        self._start_over()
        self._received = 0
        self._in_hand = 0
        """How many collected samples the flush that is under way has not come to."""
        self.is_gathering = False
        """What was received is committed by whoever takes in next, as long as no more waits than may wait."""
        self.through = 0
        """The number of the last release of an entrance that was taken in."""

    def describe(self, section: str, entries: Mapping[str, Any]) -> None:
        """Have entries put into a section of `otel` in the config of this run, and of the next."""
        known = self._description.setdefault(section, {})
        if not entries.items() <= known.items():
            known.update(entries)
            self._is_described = False

    @property
    def pending(self) -> int:
        """How many samples were taken in and wait to be written."""
        waiting = self._reconciler.pending + len(self.deferral) + self._in_hand + self.unconfirmed
        return waiting + self._journaling.pending

    @property
    def unconfirmed(self) -> int:
        """How many of these the ledger has as written: they are on their way to the run."""
        return self.target.unconfirmed

    def deadline(self) -> float | None:
        """When the next flush is due at the latest, in seconds of the clock; None: nothing waits for it."""
        if not self._writer_is_known:
            return None
        if self.deferral:
            return self._clock() + _DEFERRED_SECONDS
        return self._reconciler.deadline()

    def take(
        self,
        samples: list[Sample],
        batches: Iterable[list[Sample | Bundle]] = (),
        *,
        until: float | None = None,
        deadline: float | None = None,
    ) -> bool:
        """Take in one collection and what the direct lane holds, and commit what is due.

        Args:
            samples: What was collected, in the order of measurement.
            batches: What the direct lane holds up to `until`, in the order of the calls. Committing goes
                on in between, so that a backlog is not held twice.
            until: When the collection began, in seconds since the epoch: what was measured later waits for
                the next one (see `Deferral`). None: nothing waits.
            deadline: As of `commit`.

        Returns:
            False where W&B or the deadline interrupted the writing.
        """
        self._pacer.begin(len(samples))
        samples = self.deferral.pass_on(samples, until)
        if until == ALL:
            self._add([*samples, *(item for batch in batches for item in batch)])
            return self.commit(deadline=deadline)
        taken, self._in_hand = 0, len(samples)
        try:
            for batch in batches:
                upto = bisect_right(samples, batch[-1].time, taken, key=measured_at)
                collected, taken, self._in_hand = samples[taken:upto], upto, len(samples) - upto
                self._add(heapq.merge(collected, batch, key=measured_at) if collected else batch)
                if not self.commit(deadline=deadline):
                    return False
            collected, taken, self._in_hand = samples[taken:], len(samples), 0
            self._add(collected)
        finally:
            self._in_hand = 0
            # Interrupted: what is left in the lane is safe there, and must not be overtaken by what was
            # collected.
            self.deferral.give_back(samples[taken:])
        return self.commit(deadline=deadline)

    def receive(self, samples: Collection[Sample]) -> bool:
        """Take in what other processes have sent, and commit what is due.

        What this process has collected and still holds back stays where it is. While nothing can be written,
        what was received is not shed for going past the bound: whoever calls is to wait, and has acknowledged
        it.

        Returns:
            False where W&B interrupted the writing.
        """
        self._received += len(samples)
        self._add(samples)
        return (self.is_gathering and not self.is_full) or self.commit()

    @property
    def is_full(self) -> bool:
        """Whether as much waits as may wait."""
        return self.pending > self._policy.max_pending

    @property
    def newest(self) -> int | None:
        """The newest step that some source has come to."""
        return self._reconciler.newest

    def commit(self, *, everything: bool = False, deadline: float | None = None) -> bool:
        """Commit the rows that are due, in order.

        Args:
            everything: All rows are due.
            deadline: Stop at this time (seconds of `time.monotonic`); what is left stays pending.

        Returns:
            False where W&B or the deadline interrupted it.
        """
        if everything and self.deferral:
            self._add(self.deferral.take_all())
        self.interrupted_by = None
        writer = self.target.writer()
        if writer is None:
            self._shed_what_is_too_much()
            return True
        self._start(writer)

        def goes_on() -> bool:
            self._pacer.tick()
            if self._pacer.is_starved and self._writer == "auto":
                writer.start_process()
            return deadline is None or time.monotonic() < deadline

        if not self._is_described:
            self._is_described = True
            writer.config.describe(self._description)
        self._reconciler.advance(self._clock())
        row = self._peek(everything)
        if row is None and not writer.unconfirmed:
            return True
        self._pacer.begin(self.pending)
        try:
            writer.begin()
            while row is not None and (writer.has_room_for(row) or (writer.flush(goes_on) and goes_on())):
                writer.take(self._dated(row) if self.through else row)
                self._pop()
                self._pacer.tick()
                row = self._peek(everything)
            if row is not None or not writer.flush(goes_on):
                self.interrupted_by = "timeout"
                return False
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # a cancelled task, too, must not end the reader's thread
            self.interrupted_by = type(error).__qualname__
            self.ledger.failed_flushes += 1
            self.ledger.say_once(
                "W&B", type(error).__name__, f"{error!r} from run.log; the rows wait and are tried again"
            )
            self._shed_what_is_too_much()
            return False
        finally:
            writer.end()
        self.ledger.successful_flushes += 1
        self._received = 0
        return True

    def standing(self) -> Standing:
        """How far all have come. Never waits."""
        return standing_of(self._reconciler)

    def first_step(self) -> int:
        """The first step of which neither the run nor its journal has a row; 0 where there is no journal."""
        writer = self.target.writer()
        if writer is None or not self._journaling.is_asked_for:
            return 0
        self._start(writer)
        newest = self._reconciler.newest
        return 1 + max(-1 if newest is None else newest, self._journaling.committed)

    def _start(self, writer: RunWriter) -> None:
        if self._writer_is_known:
            return
        self._writer_is_known = True
        if self._writer == "process":
            writer.start_process()
        if self.memory is None:
            self.memory = self._journaling.memory_of(writer.run)
        memory, start = self.memory, None
        writer.hold_at_most(max(1, self._policy.max_pending // 10))
        writer.on_refused = lambda row, refused: reject(row, refused, self.ledger)
        if memory is not None:
            writer.continue_at(memory.starting_step)
            writer.before_commit = memory.note
            start = memory.committed
        start = writer.starting_step if start is None else start + 1
        self._reconciler.start_at(start, lambda key: self._total(writer, key), writer.foreign_from)
        if self._journaling.is_of(memory):
            self._journaling.restore(self._reconciler, self._clock(), lambda: self.deferral)

    def _peek(self, everything: bool) -> Row | None:
        rows = self._journaling.rows
        return rows[0] if rows else self._reconciler.peek(everything=everything)

    def _pop(self) -> None:
        if self._journaling.rows:
            self._journaling.pop()
        else:
            self._reconciler.pop()

    def settle(self) -> None:
        """A flush is over: what it has left waiting is kept in the journal, where there is one."""
        if self._journaling.is_of(self.memory):
            self.target.tell()
            self._journaling.settle()

    def forget_memory(self) -> None:
        """Rows that others have sent are noted no more."""
        if self._journaling.is_of(self.memory):
            return
        self.memory = None
        writer = self.target.writer()
        if writer is not None:
            writer.before_commit = None

    def _total(self, writer: RunWriter, key: str) -> Any:
        known = None if self.memory is None else self.memory.total(key)
        return writer.total(key) if known is None else known

    def _dated(self, row: Row) -> Row:
        return replace(row, through=self.through)

    def holds(self, keys: Collection[str]) -> bool:
        """Whether a value that was taken in waits, or may wait, under one of these keys."""
        deferred = any(sample.key in keys for sample in self.deferral)
        return bool(self.unconfirmed) or self._reconciler.holds(keys) or deferred

    def finish_run(self) -> None:
        """The run is about to finish: let it go. Where `wandb.run` is followed, the next run starts over."""
        had_run = self._writer_is_known
        is_clean = not self.pending
        self._give_up("the run finished before all was written" if had_run else _NO_RUN)
        self.conclude()
        self.target.release()
        self._journaling.finish(is_clean=is_clean)
        self._start_over()

    def say_what_is_left(self) -> None:
        """At the end of the program: what waits for a run that never came, or for W&B, will be lost."""
        left = self.pending
        if left:
            self.ledger.say_once("shed", _NO_RUN, count_of(left, "sample is lost", "samples are lost"))

    def forget(self) -> None:
        """In a forked child: what waits is the parent's to write, and so is the run."""
        self.ledger = self.admission.ledger = Ledger()
        self.target.forget(self.ledger)
        self.deferral.take_all()
        self._in_hand = 0
        self._journaling.abandon(self.ledger)
        self._start_over()

    def conclude(self) -> None:
        """The run, or the program, is about to end: leave in it who reported, and how it went.

        In one line where anything went otherwise than by the book.
        """
        if self._writer_is_known:
            steps = {source: progress.highest for source, progress in self._reconciler.sources.items()}
            self.target.put_into_config({"sources": self._verdict.sources(steps)})
            if self._summary_counts:
                self.target.put_into_summary(self._verdict.summary(steps))
        self._verdict.had_run = self._writer_is_known
        self._verdict.ranks = self._reconciler.ranks
        line, is_loss = self._verdict.line()
        if line:
            tell(self.target.run, line, is_loss=is_loss)

    def tell_of_late(self) -> None:
        """Call the user's `on_late` for what was late; without any lock held."""
        while self._late and self._on_late is not None:
            late = [*self._late]
            del self._late[: len(late)]
            for sample in late:
                try:
                    self._on_late(sample)
                except Exception as error:
                    text = f"{error or 'raised'}; what is late goes its way all the same"
                    self.ledger.say_once("on_late", type(error).__name__, text)

    def _start_over(self) -> None:
        if self._journaling.is_of(self.memory):
            self.memory = None
        on_late = None if self._on_late is None else self._late.append
        self._reconciler = Reconciler(self._policy, self.ledger, on_late)
        self._verdict = Verdict(self.ledger, self._policy)
        self._writer_is_known = False
        self._is_described = not self._description

    def _give_up(self, why: str) -> None:
        left = self.pending
        if left:
            self.ledger.written -= self.unconfirmed
            self.ledger.shed += left
            self.ledger.say_once("shed", why, count_of(left, "sample is lost", "samples are lost"))
            self.deferral.take_all()

    def join_job(self, process: Process) -> None:
        """This is one process of several: what it reports is a share, as theirs is.

        Rows wait for the first report of all ranks, where nothing else was said of who is expected: of as
        many as this process knows of, or else as the first rank that reports says. Where something was taken
        in already, it changes nothing: what this process is called stays.
        """
        if self._reconciler.newest is not None or self.pending:
            return
        self.admission.process = process
        if self._policy.expected_sources is None:
            ranks = process.world_size or 0
            self._policy = replace(self._policy, expected_ranks=ranks, awaits_ranks=not ranks)
        self._start_over()

    def _add(self, samples: Iterable[Sample | Bundle]) -> None:
        self._reconciler.add(self.admission.admitted(samples), self._clock())
        self._journaling.is_behind |= bool(samples)

    def _shed_what_is_too_much(self) -> None:
        waiting = self._reconciler.pending + self.unconfirmed
        excess = waiting - self._policy.max_pending - self._received
        if excess > 0:
            # A tenth more than needed, since choosing what goes takes a look at all that waits.
            shed = self._reconciler.shed(excess + self._policy.max_pending // 10)
            self.ledger.say_once(
                "shed",
                f"more than max_pending={self._policy.max_pending} samples wait",
                "they cannot be written (no run yet, or run.log keeps failing); those of the lowest priority "
                f"are lost, {shed} for a start",
            )
