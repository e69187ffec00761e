"""Rows in step order out of samples in any order.

Pure: no thread, no clock of its own, no W&B, no OpenTelemetry.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple

from ..causes import Cause
from ..ledger import Ledger
from ..records import Bundle, Kind, Manner, Row, Sample
from .closed_rows import ClosedRows
from .lateness import Lateness
from .open_row import OpenRow, places_of, samples_of, size_of
from .policy import Policy
from .riders import Riders
from .row_queue import RowQueue
from .shares import SlotKey, key_of, slot_key, total_keys
from .shedding import shed
from .totals import Totals
from .waiting import is_held, waiting_in
from .watermark import Progress, Watermark


class _Head(NamedTuple):
    """The row that was given out and not yet taken."""

    origin: OpenRow
    seated: OpenRow
    further: list[OpenRow]
    folded: int
    overridden: int
    row: Row


class Reconciler:
    """Holds the samples of one run until their rows may be committed, and gives the rows in order.

    Use: `add` what was collected, `advance` to the present, then for as long as `peek` gives a row: write
    it, and `pop` it. A row that was not popped (its writing failed) stays, still takes samples in, and is
    the first to be given the next time.

    Args:
        policy: The rules.
        ledger: Where samples are counted.
        on_late: Told each sample that is late; it must be quick, and not raise.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(
        self, policy: Policy, ledger: Ledger, on_late: Callable[[Sample], None] | None = None
    ) -> None:
        self._policy = policy
        self._ledger = ledger
        self._lateness = Lateness(policy, ledger, on_late)
        self._watermark = Watermark(policy)
        self._rows = RowQueue()
        self._late = RowQueue(late=True)
        self._further: deque[OpenRow] = deque()
        self._riders = Riders(policy.hold)
        self._folding: list[Sample] = []
        self.totals = Totals(policy.counters)
        """What the counters have come to in the rows so far; read it, do not change it."""
        self._closed = ClosedRows()
        self._committed: int | None = None
        self._newest: int | None = None
        self._moves = 0
        self._said: dict[SlotKey, int] = {}
        self._head: _Head | None = None
        self.pending = 0
        """How many samples wait."""

    @property
    def watermark(self) -> int | None:
        """The step up to which (inclusive) every gating source is done; None before there is one."""
        return self._watermark.step

    @property
    def newest(self) -> int | None:
        """The newest step that some source has come to."""
        return self._newest

    @property
    def sources(self) -> dict[str, Progress]:
        """Progress by source; read it, do not change it."""
        return self._watermark.sources

    @property
    def ranks(self) -> int:
        """How many ranks have reported."""
        return self._watermark.ranks

    def start_at(
        self, step: int, totals: Callable[[str], Any] = lambda _: 0, foreign_from: int | None = None
    ) -> None:
        """Say that the run has rows below `step` already (resumed, forked, rewound): they are late now.

        Args:
            step: The first step that the run takes.
            totals: From a key to the running total that those rows have come to.
            foreign_from: The first of those steps that somebody else has used up in this process; None: none.
        """
        if step > 0:
            self.totals.resume(totals)
        if step <= 0 or (self._committed is not None and self._committed >= step - 1):
            return
        self._head = None
        self._committed = step - 1
        self._lateness.started_at(step, foreign_from)
        self._watermark.start_at(step - 1)
        while (row := self._rows.lowest()) is not None and row.step is not None and row.step < step:
            self._rows.pop()
            self._make_late(row, self._lateness.cause(row.step, row.step))

    def add(self, items: Iterable[Sample | Bundle], now: float) -> None:
        """Take samples in, in the order of their measurement; `now` is in seconds of the injected clock."""
        self._head = None
        source, row = "", None
        put = 0
        try:
            for item in items:
                step = item.step
                # Most samples come from the source of the one before, at the same step, and begin their key.
                if row is not None and step == row.step and item.source == source and row.put(item):
                    put += 1
                    continue
                row = None
                if type(item) is Bundle and item.manner is Manner.STANDS_ALONE:
                    self._add_alone(item)
                elif item.kind is Kind.PROGRESS:
                    self._announce(item.source, step)
                elif step is None:
                    for sample in samples_of(item):
                        self._add_unstepped(sample, now)
                elif self._is_leap(step):
                    self._lateness.note_leap(item.source, step, size_of(item))
                    self._add_late(item, Cause.LEAP)
                else:
                    if self._newest is not None and step + self._policy.max_step_jump < self._newest:
                        self._doubt_the_newest(step)
                    self._note_progress(item.source, step)
                    if self._committed is None or step > self._committed:
                        self._merge(self._rows, item)
                        source, row = item.source, self._rows.get(step)
                    elif item.kind is Kind.READING:
                        # Read again and again while the step stands; the row of that step has its reading.
                        self._ledger.overridden += 1
                    else:
                        self._lateness.say(item.source, step, self._committed)
                        highest = self._watermark.sources[item.source].highest
                        self._add_late(item, self._lateness.cause(step, highest))
        finally:  # interrupted: what is in a row is counted
            self.pending += put
        self._watermark.note_what_was_passed(now)

    def advance(self, now: float) -> None:
        """Move the watermark to what is known at `now` (seconds of the injected clock)."""
        self._watermark.advance(now)
        self._let_riders_go(now)

    def deadline(self) -> float | None:
        """When `advance` is due at the latest, in seconds of the injected clock; None: nothing waits."""
        deadlines = (self._riders.deadline(), self._watermark.deadline() if self._rows else None)
        return min((each for each in deadlines if each is not None), default=None)

    def peek(self, *, everything: bool = False) -> Row | None:
        """The next row to be committed, or None where nothing is due.

        Args:
            everything: Nothing waits any longer: all rows are due.
        """
        origin = self._next(everything)
        if origin is None:
            self._head = None
            return None
        folding = self._folding if origin in self._rows else []
        seated, further, overridden = origin, list[OpenRow](), 0
        if origin.riders or folding:
            seated, further, overridden = origin.seated(folding)
        before = self._closed.before(seated)
        row = seated.finish(self.totals, self._policy.reduce, self._ledger.say_once, before)
        overridden += seated.samples - row.samples
        self._head = _Head(origin, seated, further, len(folding), overridden, row)
        return row

    def pop(self) -> None:
        """Take out the row that `peek` gave: it is the writer's now."""
        head = self._head
        if head is None:
            raise RuntimeError("pop() takes out the row that peek() gave: call peek() first")
        self._head = None
        self._closed.remember(head.seated)
        if head.seated.has_totals:
            for at, slot in head.seated.slots.items():
                if slot.kind is Kind.INCREMENT:
                    self._add_to_total(slot.kind, at, head.seated.step, slot.value_of(key_of(at)))
        if self._further and self._further[0] is head.origin:
            self._further.popleft()
        elif head.origin in self._late:
            self._late.pop()
        else:
            self._rows.pop()
            self._note_commit(head.origin)
            del self._folding[: head.folded]
        self._further.extendleft(reversed(head.further))
        self.pending -= head.row.samples + head.overridden
        self._ledger.overridden += head.overridden
        self._ledger.written += head.row.samples

    def holds(self, keys: Collection[str]) -> bool:
        """Whether a value waits under one of these keys."""
        return is_held(keys, (*self._rows, *self._late, *self._further), (*self._riders, *self._folding))

    def waiting(self) -> Iterator[Sample | Bundle]:
        """What waits, as samples that make the same rows anew where they are added to another reconciler."""
        yield from waiting_in((*self._rows, *self._late), self._further, self._riders, self._newest)
        yield from self._folding

    def shed(self, count: int) -> int:
        """Give up `count` samples, the lowest priorities first and of these the lowest steps.

        For samples that cannot be written only: no run yet, or a writer that keeps failing.

        Returns:
            How many were given up.
        """
        self._head = None
        riders = [*self._riders]
        rows = [*self._late, *self._further, *self._rows]
        gone = shed(rows, [riders, self._folding], count, self._add_to_total)
        self._riders.keep(riders)
        for queue in (self._late, self._rows):
            queue.keep_only(lambda row: bool(row.slots or row.riders))
        self._further = deque(row for row in self._further if row.slots)
        self.pending -= gone
        self._ledger.shed += gone
        return gone

    def _next(self, everything: bool) -> OpenRow | None:
        if (everything or self._is_crowded()) and not self._rows:
            self._keep_what_found_no_row()
        if self._late:
            return self._late.lowest()
        if self._further:
            return self._further[0]
        lowest = self._rows.lowest()
        return lowest if lowest is not None and (everything or self._is_due(lowest)) else None

    def _is_due(self, row: OpenRow) -> bool:
        watermark = self._watermark.step
        is_reached = watermark is not None and row.step is not None and row.step <= watermark
        return is_reached or self._is_crowded()

    def _is_crowded(self) -> bool:
        return self.pending > self._policy.max_pending

    def _keep_what_found_no_row(self) -> None:
        folding, self._folding = self._folding, []
        self.pending -= len(folding)
        for sample in folding:
            self._merge(self._late, sample)
        if self._riders:
            self._further.extend(self._riders.alone(self._newest))

    def _let_riders_go(self, now: float) -> None:
        deadline = self._riders.deadline()
        if deadline is None:
            return
        newest = self._rows.get(self._newest)
        if newest is not None:
            gone = self._riders.mount(newest)
            self._ledger.overridden += gone
            self.pending -= gone
        elif self._newest is None or deadline <= now:
            self._further.extend(self._riders.alone(self._newest))

    def _is_leap(self, step: int) -> bool:
        return self._newest is not None and step > self._newest + self._policy.max_step_jump

    def _doubt_the_newest(self, step: int) -> None:
        """The very first steps were the leap, and `step` is the truth: nothing of it is committed yet."""
        if self._committed is not None and self._committed >= step:
            return
        highest = step + self._policy.max_step_jump
        self._watermark = self._watermark.without_leaps(highest)
        leapt = self._rows.pop_above(highest)
        # Of a source that leapt, the steps before count as well, also where they were shed.
        known = [each.highest for each in self.sources.values()] + [row.step or 0 for row in self._rows]
        self._newest = max(step, self.totals.found_out(highest), *known)
        for row in leapt:
            self._lateness.note_leap(row.source, row.step or 0, row.samples)
            self._make_late(row, Cause.LEAP)
        if self._committed is not None:
            self._watermark.reach(self._committed)

    def _make_late(self, row: OpenRow, cause: Cause) -> None:
        self._lateness.note(row.source, row.samples, row.held(), cause)
        if self._policy.late == "drop":
            self._ledger.dropped += row.samples
            self.pending -= row.samples
            for at, slot in row.slots.items():
                self._add_to_total(slot.kind, at, row.step, slot.value_of(key_of(at)))
            for rider in row.riders:
                if type(rider) is Sample:
                    self._add_to_total(rider.kind, slot_key(rider.key, rider.source), row.step, rider.value)
        elif not self._late.adopt(row):  # a leap to the same step was late before
            self._further.append(row)

    def _note_progress(self, source: str, step: int) -> None:
        if self._newest is None or step > self._newest:
            self._newest = step
        progress = self._watermark.sources.get(source)
        if progress is None:
            self._watermark.meet(source, Progress(step))
            self._moves += 1
            return
        distance = progress.report(step)
        self._moves += distance != 0
        self._ledger.step_regressions += distance < 0
        self._ledger.step_jumps += distance > 1

    def _add_late(self, item: Sample | Bundle, cause: Cause) -> None:
        size = size_of(item)
        self._lateness.note(item.source, size, samples_of(item), cause)
        if self._policy.late == "drop":
            self._ledger.dropped += size
            if type(item) is not Bundle:
                self._add_to_total(item.kind, slot_key(item.key, item.source), item.step, item.value)
        elif self._policy.late == "merge":
            self._folding.extend(samples_of(item))
            self.pending += size
        else:
            self._merge(self._late, item)

    def _add_to_total(self, kind: Kind, at: SlotKey, step: int | None, value: Any) -> None:
        """An increment is committed, or denied a row: it counts in the totals to come all the same."""
        if kind is Kind.INCREMENT:
            leaps = step is not None and self._newest is not None and step > self._newest
            for total in total_keys(at):
                self.totals.add(total, None if leaps else step, value)

    def _is_news(self, reading: Sample, newest: OpenRow | None) -> bool:
        """Whether an observable has something to say: it is read again and again while a step stands.

        Until the row of the step is committed, the last reading is the one that counts.
        """
        at = slot_key(reading.key, reading.source)
        said, self._said[at] = self._said.get(at), self._moves
        return newest is not None or said != self._moves

    def _add_unstepped(self, sample: Sample, now: float) -> None:
        newest = self._rows.get(self._newest)
        if sample.kind is Kind.READING and self._newest is not None and not self._is_news(sample, newest):
            self._ledger.overridden += 1
            return
        if newest is not None and sample.kind is Kind.READING:
            anew = newest.ride_anew(sample)
            self._ledger.overridden += anew
            self.pending -= anew
        elif newest is not None:
            newest.ride(sample)
        else:
            self._riders.wait(sample, now)
        self.pending += 1

    def _add_alone(self, bundle: Bundle) -> None:
        row = self._rows.get(bundle.step)
        if row is not None:
            row.ride(bundle)
        else:
            row = OpenRow(bundle.step)
            row.take(bundle)
            self._further.append(row)
        self.pending += len(bundle.values)

    def _announce(self, source: str, step: int | None) -> None:
        if step is None or self._is_leap(step):
            return
        progress = self._watermark.sources.get(source)
        if progress is not None and progress.last == step:
            self._ledger.duplicate_steps += 1
        self._note_progress(source, step)

    def _note_commit(self, row: OpenRow) -> None:
        assert row.step is not None
        self._committed = row.step
        self._watermark.reach(row.step)

    def _merge(self, rows: RowQueue, item: Sample | Bundle) -> None:
        assert item.step is not None
        row = rows.open(item.step)
        before = row.samples
        overridden = again = 0
        if type(item) is not Bundle:
            overridden, again = row.merge(item)
        elif item.manner is Manner.JOINS:
            overridden, again = row.take(item)
        else:
            taken = [row.slots[at] for at in places_of(item) if at in row.slots]
            again = sum(slot.source == item.source for slot in taken)
            row.ride(item)
        self.pending += row.samples - before
        if overridden and item.kind is not Kind.READING:
            self._ledger.note_overridden(item.source, overridden)
        else:
            self._ledger.overridden += overridden
        self._ledger.duplicate_steps += again
