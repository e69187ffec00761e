"""The direct lane: dicts with anything that W&B takes, at the cost of one append."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from threading import Lock
from typing import Any, NamedTuple

from opentelemetry import context
from opentelemetry.context import Context

from ..attributes import LANE_SCOPE, default_priority, parse_priority, parse_step
from ..ledger import Ledger
from ..records import Sample
from .ambient import PRIORITY_KEY, SOURCE_KEY, step_of_baggage
from .clock import STEP_CLOCK, ClockState
from .lane_gauges import LaneGauges
from .snapshot import PLAIN, Unusable, taken

_BATCH = 2_000
_TIME = 4
_NO_KEY = object()


class _Entry(NamedTuple):
    """How an entry is read. What waits is the bare tuple, which costs the caller a fifth of this one."""

    values: Mapping[Any, Any]
    step: Any
    source: str | None
    priority: Any
    time: float
    context: Context | None
    clock: ClockState


class DirectLane:
    """Takes dicts from any thread, and gives them out as samples at the next flush.

    Args:
        priorities: Default priority by source.
        gauges: Show at each flush to other readers what is taken out.
        high_water: From this many waiting entries (calls of `log`) on, `on_high_water` is called to have
            them flushed before the interval is over. It must be quick, and neither raise nor record.
        bound: How many entries wait at most; further ones are shed, and counted.

    Thread-safety: `log` from any thread, without a lock (see `KeepAllReservoir`); `batches` from one.
    """

    def __init__(
        self,
        priorities: Mapping[str, int],
        *,
        gauges: LaneGauges | None = None,
        high_water: int = 10_000,
        bound: int = 1_000_000,
    ) -> None:
        self._priorities = priorities
        self._gauges = gauges
        self.on_high_water: Callable[[], None] = lambda: None
        self._high_water = high_water
        self._bound = bound
        self._entries: deque[tuple[Any, ...]] = deque()
        self._lock = Lock()
        self._shed = 0
        self._left_over = 0

    def log(self, values: Mapping[str, Any], step: Any, source: str | None, priority: Any) -> None:
        """Take `values` as they are now. Never raises: what cannot be used is counted at the next flush."""
        entries = self._entries
        waiting = len(entries)
        now: dict[Any, Any]
        try:
            if type(values) is not dict and not isinstance(values, Mapping):
                raise TypeError
            now = dict(values)
        except Exception:
            now = {_NO_KEY: type(values).__name__}
        if waiting >= self._bound:
            with self._lock:
                self._shed += len(now)
            return
        try:
            plain = PLAIN.issuperset(map(type, now.values())) and type(step) in PLAIN
        except Exception:  # a type that cannot be hashed
            plain = False
        if not plain:
            now, step = {key: taken(value) for key, value in now.items()}, taken(step)
        # The context is needed for what is not said here; looking it up is half the cost of the call.
        said = step is not None and source is not None and priority is not None
        ambient = None if said else context.get_current()
        entries.append((now, step, source, priority, time.time(), ambient, STEP_CLOCK.state))
        if waiting >= self._high_water:
            self.on_high_water()

    def waiting(self) -> tuple[int, int]:
        """How many values wait for the next flush, and how many were shed since the last."""
        return sum(len(values) for values, *_ in tuple(self._entries)), self._shed

    def batches(self, ledger: Ledger, until: float | None) -> Iterator[list[Sample]]:
        """Take out what came in until then, a batch at a time, in the order of measurement.

        Args:
            ledger: Where they are counted.
            until: Seconds since the epoch; None takes all that waits now. An entry that waited at the
                last flush is taken whatever its time: the wall clock may have been set back.
        """
        self._report_shed(ledger)
        left = len(self._entries)
        overdue, self._left_over = self._left_over, 0
        try:
            while left > 0:
                batch: list[Sample] = []
                for _ in range(min(left, _BATCH)):
                    if until is not None and overdue <= 0 and self._entries[0][_TIME] > until:
                        if batch:
                            yield self._shown(batch)
                        return
                    entry = _Entry._make(self._entries.popleft())
                    left -= 1
                    overdue -= 1
                    ledger.recorded += len(entry.values)
                    batch.extend(self._samples_of(entry, ledger))
                if batch:
                    yield self._shown(batch)
        finally:
            self._left_over = max(left, 0)

    def after_flush(self) -> None:
        """To be called when a flush is over and its locks are free."""
        if self._gauges is not None:
            self._gauges.create()

    def clear(self) -> None:
        """Forget what waits: in a forked child it is the parent's to write."""
        self._entries.clear()
        self._lock = Lock()
        self._shed = 0
        self._left_over = 0

    def _shown(self, batch: list[Sample]) -> list[Sample]:
        batch.sort(key=lambda sample: sample.time)
        if self._gauges is not None:
            self._gauges.show(batch)
        return batch

    def _report_shed(self, ledger: Ledger) -> None:
        if not self._shed:
            return
        with self._lock:
            shed, self._shed = self._shed, 0
        ledger.recorded += shed
        ledger.shed += shed
        ledger.say_once("shed", "Bridge.log", "it is called faster than W&B takes rows; the newest are lost")

    def _samples_of(self, entry: _Entry, ledger: Ledger) -> list[Sample]:
        rejected = sum(ledger.rejected.values())
        try:
            return list(self._samples(entry, ledger))
        except Exception as error:  # a hostile object; what came of its entry so far is given up with it
            rest = len(entry.values) - (sum(ledger.rejected.values()) - rejected)
            ledger.reject(
                "values", "Bridge.log", f"an entry cannot be read ({type(error).__name__})", count=rest
            )
            return []

    def _samples(self, entry: _Entry, ledger: Ledger) -> Iterable[Sample]:
        ambient = entry.context
        source = entry.source
        if source is None and ambient:
            source = ambient.get(SOURCE_KEY)  # type: ignore[assignment]
        source = LANE_SCOPE if source is None else str(source)
        if entry.step is not None:
            try:
                step: int | None = parse_step(entry.step)
            except ValueError as error:
                ledger.reject("step", f"Bridge.log, source {source!r}", str(error), count=len(entry.values))
                return
        else:
            step = step_of_baggage(ambient) if ambient else None
            if step is None:
                step = entry.clock.step_of(source)
        priority = self._priority(entry, source, ledger)
        for key, value in entry.values.items():
            if type(value) is Unusable:
                ledger.reject("value", f"Bridge.log, key {key!r}", f"it cannot be copied: {value.why}")
            elif isinstance(key, str) and key:
                yield Sample(source, step, key, value, priority, entry.time)
            elif key is _NO_KEY:
                ledger.reject(
                    "values",
                    f"Bridge.log, source {source!r}",
                    f"it takes a dict of values by key; got {value}",
                )
            else:
                ledger.reject(
                    "key", f"Bridge.log, source {source!r}", f"a key is a non-empty string; got {key!r}"
                )

    def _priority(self, entry: _Entry, source: str, ledger: Ledger) -> int:
        priority = entry.priority
        if priority is None and entry.context:
            priority = entry.context.get(PRIORITY_KEY)
        if priority is None:
            return default_priority(source, self._priorities)
        try:
            return parse_priority(priority)
        except ValueError as error:
            ledger.say_once("priority", f"Bridge.log, source {source!r}", f"{error}; the default is used")
            return default_priority(source, self._priorities)
