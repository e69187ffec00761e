"""The direct lane: calls with anything that W&B takes, at the cost of one append."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from threading import Lock
from time import time
from typing import Any, Protocol

from opentelemetry.context import get_current

from ..ledger import Ledger
from ..records import Bundle, Sample
from . import ambient as contexts
from .clock import STEP_CLOCK
from .lane_gauges import LaneGauges
from .log_calls import NO_KEY, LogCalls
from .packing import OPTIONS, count_of_values, pack, unpacked
from .snapshot import taken

_BATCH = 2_000
_TIME, _VALUES = 1, 2

Entry = tuple[Any, ...]
"""What waits: a `Reader`, the time of the call (seconds since the epoch), its values by key (a dict, or what
`pack` made of one), and whatever else the reader wants to know. A bare tuple, as threads that log make it."""


class Reader(Protocol):
    """Turns the entries of one kind of call into samples, at the flush and in the order of the calls."""

    @property
    def waiting(self) -> int:
        """How many values were taken out of the lane and are still held back."""

    def samples(self, entry: Entry, ledger: Ledger) -> Iterable[Sample | Bundle]:
        """The samples of an entry. Counts them (and what cannot be used) in the ledger; never raises."""

    def settle(self, ledger: Ledger) -> Iterable[Sample | Bundle]:
        """What is still held back: everything is to be committed."""

    def clear(self) -> None:
        """Forget what is held back."""


class DirectLane:
    """Takes calls from any thread, and gives them out as samples at the next flush.

    Args:
        priorities: Default priority by source.
        gauges: Show at each flush to other readers what is taken out.
        high_water: From this many waiting entries (calls) on, `on_high_water` is called to have them
            flushed before the interval is over. It must be quick, and neither raise nor record.
        bound: How many entries wait at most; further ones are shed, and counted.
        axis: As of `LogCalls`.

    Thread-safety: `log` and `put` from any thread, without a lock (see `KeepAllReservoir`); `batches` from
    one.
    """

    def __init__(
        self,
        priorities: Mapping[str, int],
        *,
        gauges: LaneGauges | None = None,
        high_water: int = 10_000,
        bound: int = 1_000_000,
        axis: str | None = None,
    ) -> None:
        self.gauges = gauges
        self.on_high_water: Callable[[], None] = lambda: None
        self._bound = bound
        self.flush_from(high_water)
        self._is_emptied = False
        self.queue: deque[Entry] = deque()
        """What waits. As long as that is less than `room`, an entry may be appended here as well as `put` in,
        which a hot path can do without a call."""
        self._lock = Lock()
        self._shed = 0
        self._left_over = 0
        self._log_calls = LogCalls(priorities, axis)
        self._readers: list[Reader] = [self._log_calls]

    def flush_from(self, entries: int) -> None:
        """Ask for a flush from so many waiting entries on."""
        self._quiet = self.room = min(entries, self._bound) - 1

    def add_reader(self, reader: Reader) -> None:
        """Make known who reads the entries that are `put` in."""
        self._readers.append(reader)

    def log(self, values: Mapping[str, Any], step: Any, source: str | None, priority: Any) -> None:
        """Take `values` as they are now. Never raises: what cannot be used is counted at the next flush."""
        # In one piece: this runs in training threads, where a call costs as much as all the rest.
        if type(values) is not dict or not (step is None or type(step) is int):
            return self._log_carefully(values, step, source, priority)
        try:
            now = pack(values, None, OPTIONS)
        except TypeError:
            return self._log_carefully(values, step, source, priority)
        # What is not said here may be in the context, and looking that up is dear.
        ambient = None
        if step is None or source is None or (priority is None and contexts.priorities_are_said):
            ambient = get_current()
        entry = (self._log_calls, time(), now, step, source, priority, ambient, STEP_CLOCK.state)
        if len(self.queue) < self.room:
            self.queue.append(entry)
        else:
            self.put(entry)
        return None

    def before_next_log(self, call: Callable[[], None]) -> None:
        """Have `call` called before the next call of `log` is taken, once."""

        def log(values: Mapping[str, Any], step: Any, source: str | None, priority: Any) -> None:
            self.__dict__.pop("log", None)
            call()
            self.log(values, step, source, priority)

        self.__dict__["log"] = log

    def put(self, entry: Entry) -> None:
        """Take in an entry whose reader is known. Never raises."""
        waiting = len(self.queue)
        if waiting >= self._bound:
            with self._lock:
                self._shed += count_of_values(entry[_VALUES])
            return
        self.queue.append(entry)
        if waiting >= self.room:
            self._ask_for_flush()

    @property
    def entries(self) -> int:
        """How many calls wait for the next flush."""
        return len(self.queue)

    def peek(self) -> tuple[Entry, ...]:
        """The calls that wait for the next flush."""
        return tuple(self.queue)

    def holds(self, keys: Collection[str]) -> bool:
        """Whether a value waits for the next flush under one of these keys."""
        return any(not unpacked(entry[_VALUES]).keys().isdisjoint(keys) for entry in self.peek())

    def waiting(self) -> tuple[int, int]:
        """How many values wait for the next flush, and how many were shed since the last."""
        waiting = sum(count_of_values(entry[_VALUES]) for entry in tuple(self.queue))
        return waiting + sum(reader.waiting for reader in self._readers), self._shed

    def batches(
        self, ledger: Ledger, until: float | None, *, everything: bool = False
    ) -> Iterator[list[Sample | Bundle]]:
        """Take out what came in until then, a batch at a time, in the order of measurement.

        Args:
            ledger: Where they are counted.
            until: Seconds since the epoch; None takes all that waits now. An entry that waited at the
                last flush is taken whatever its time: the wall clock may have been set back.
            everything: Readers hold nothing back any longer.
        """
        self._report_shed(ledger)
        left = len(self.queue)
        overdue, self._left_over = self._left_over, 0
        try:
            while left > 0:
                batch: list[Sample | Bundle] = []
                is_ours = True
                for _ in range(min(left, _BATCH)):
                    try:
                        if until is not None and overdue <= 0 and self.queue[0][_TIME] > until:
                            if batch:
                                yield self._shown(batch, by_time=is_ours or Bundle not in map(type, batch))
                            return
                        entry = self.queue.popleft()
                    except IndexError:  # somebody has taken entries back
                        left = 0
                        break
                    left -= 1
                    overdue -= 1
                    is_ours = is_ours and entry[0] is self._log_calls
                    batch.extend(entry[0].samples(entry, ledger))
                if batch:
                    yield self._shown(batch, by_time=is_ours or Bundle not in map(type, batch))
        finally:
            self._left_over = max(left, 0)
            self._is_emptied = True
            self.room = self._quiet
        if everything:
            settled = [sample for reader in self._readers for sample in reader.settle(ledger)]
            if settled:
                yield self._shown(settled, by_time=Bundle not in map(type, settled))

    def _log_carefully(self, values: Any, step: Any, source: str | None, priority: Any) -> None:
        now: dict[Any, Any]
        try:
            if not isinstance(values, Mapping):
                raise TypeError
            now = dict(values)
        except Exception:
            now = {NO_KEY: type(values).__name__}
        if len(self.queue) < self._bound:  # else it is not worth a copy
            now, step = {key: taken(value) for key, value in now.items()}, taken(step)
        self.put((self._log_calls, time(), now, step, source, priority, get_current(), STEP_CLOCK.state))

    def take_back(self, reader: Reader) -> Iterator[Entry]:
        """Take out the entries of one reader, unread."""
        for _ in range(len(self.queue)):
            try:
                entry = self.queue.popleft()
            except IndexError:  # another thread was quicker
                return
            if entry[0] is reader:
                yield entry
            else:
                self.queue.append(entry)

    def after_flush(self) -> None:
        """To be called when a flush is over and its locks are free."""
        is_emptied, self._is_emptied = self._is_emptied, False
        if is_emptied and len(self.queue) > self._quiet:  # what came meanwhile has asked for nothing
            self._ask_for_flush()
        if self.gauges is not None:
            self.gauges.create()

    def clear(self) -> None:
        """Forget what waits: in a forked child it is the parent's to write."""
        self.queue.clear()
        self.room = self._quiet
        self._lock = Lock()
        self._shed = 0
        self._left_over = 0
        for reader in self._readers:
            reader.clear()
        if self.gauges is not None:
            self.gauges.after_fork()

    def _ask_for_flush(self) -> None:
        # Once is enough until it has come. In this order: it is what makes an end of that.
        self.room = self._bound
        self.on_high_water()

    def _shown(self, batch: list[Sample | Bundle], *, by_time: bool) -> list[Sample | Bundle]:
        if by_time:  # calls of `wandb.log` stay in their order, whatever the wall clock says
            batch.sort(key=_time)
        if self.gauges is not None:
            self.gauges.show(batch)
        return batch

    def _report_shed(self, ledger: Ledger) -> None:
        if not self._shed:
            return
        with self._lock:
            shed, self._shed = self._shed, 0
        ledger.recorded += shed
        ledger.shed += shed
        ledger.say_once("shed", "Bridge.log", "it is called faster than W&B takes rows; the newest are lost")


def _time(item: Sample | Bundle) -> float:
    return item.time
