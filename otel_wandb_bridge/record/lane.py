"""The direct lane: dicts with anything that W&B takes, at the cost of one append."""

import math
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from numbers import Real
from threading import Lock
from typing import Any, NamedTuple

from opentelemetry import context
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from ..attributes import LANE_SCOPE, default_priority, parse_priority, parse_step
from ..ledger import Ledger
from ..records import Sample
from .ambient import PRIORITY_KEY, SOURCE_KEY, step_of_baggage
from .clock import STEP_CLOCK, ClockState

_BATCH = 2_000
_PLAIN = frozenset((float, int, str, bool, type(None)))
_ILLEGAL = re.compile(r"[^A-Za-z0-9_.\-/]")
_LARGEST = 2**63 - 1
_NO_KEY = object()


class _Unusable(NamedTuple):
    why: str


class _Entry(NamedTuple):
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
        show: Called at each flush with what is taken out.
        high_water: From this many waiting entries (calls of `log`) on, `on_high_water` is called to have
            them flushed before the interval is over. It must be quick, and neither raise nor record.
        bound: How many entries wait at most; further ones are shed, and counted.

    Thread-safety: `log` from any thread, without a lock (see `KeepAllReservoir`); `drain` from one at a time.
    """

    def __init__(
        self,
        priorities: Mapping[str, int],
        *,
        show: Callable[[list[Sample]], None] = lambda samples: None,
        high_water: int = 10_000,
        bound: int = 1_000_000,
    ) -> None:
        self._priorities = priorities
        self._show = show
        self.on_high_water: Callable[[], None] = lambda: None
        self._high_water = high_water
        self._bound = bound
        self._entries: deque[_Entry] = deque()
        self._lock = Lock()
        self._shed = 0
        self._left_over = 0

    def log(self, values: Mapping[str, Any], step: Any, source: str | None, priority: Any) -> None:
        """Take `values` as they are now. Never raises: what cannot be used is counted at the next flush."""
        entries = self._entries
        waiting = len(entries)
        taken: dict[Any, Any]
        try:
            if type(values) is not dict and not isinstance(values, Mapping):
                raise TypeError
            taken = dict(values)
        except Exception:
            taken = {_NO_KEY: type(values).__name__}
        if waiting >= self._bound:
            with self._lock:
                self._shed += len(taken)
            return
        if not _PLAIN.issuperset(map(type, taken.values())):
            taken = {key: _taken(value) for key, value in taken.items()}
        if type(step) not in _PLAIN:
            step = _taken(step)
        # The context is needed for what is not said here; looking it up is half the cost of the call.
        said = step is not None and source is not None and priority is not None
        ambient = None if said else context.get_current()
        entries.append(_Entry(taken, step, source, priority, time.time(), ambient, STEP_CLOCK.state))
        if waiting >= self._high_water:
            self.on_high_water()

    def waiting(self) -> tuple[int, int]:
        """How many values wait for the next flush, and how many were shed since the last."""
        return sum(len(entry.values) for entry in tuple(self._entries)), self._shed

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
                    if until is not None and overdue <= 0 and self._entries[0].time > until:
                        if batch:
                            yield self._shown(batch)
                        return
                    entry = self._entries.popleft()
                    left -= 1
                    overdue -= 1
                    ledger.recorded += len(entry.values)
                    batch.extend(self._samples(entry, ledger))
                if batch:
                    yield self._shown(batch)
        finally:
            self._left_over = max(left, 0)

    def clear(self) -> None:
        """Forget what waits: in a forked child it is the parent's to write."""
        self._entries.clear()
        self._lock = Lock()
        self._shed = 0
        self._left_over = 0

    def _shown(self, batch: list[Sample]) -> list[Sample]:
        batch.sort(key=lambda sample: sample.time)
        self._show(batch)
        return batch

    def _report_shed(self, ledger: Ledger) -> None:
        if not self._shed:
            return
        with self._lock:
            shed, self._shed = self._shed, 0
        ledger.recorded += shed
        ledger.shed += shed
        ledger.say_once("shed", "Bridge.log", "it is called faster than W&B takes rows; the newest are lost")

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
            if type(value) is _Unusable:
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


class LaneGauges:
    """Shows the scalars of the direct lane to every other reader, as observable gauges of its meter.

    Thread-safety: `show` from one thread at a time; the callbacks run in the threads of the readers.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._latest: dict[str, float] = {}

    def show(self, samples: Iterable[Sample]) -> None:
        """Take over the last value of each key. Non-finite values are left out: the SDK refuses them."""
        for sample in samples:
            value = sample.value
            if not isinstance(value, Real) or isinstance(value, bool):
                continue
            try:
                # OTLP has room for 64-bit integers; an exporter that gets a larger one loses the collection.
                value = value if isinstance(value, int) and abs(value) <= _LARGEST else float(value)
            except OverflowError:
                continue
            if not math.isfinite(value):
                continue
            name = _instrument_name(sample.key)
            new = name not in self._latest
            self._latest[name] = value
            if new:
                self._meter.create_observable_gauge(name, [self._observe(name)])

    def _observe(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        return lambda _: (Observation(self._latest[name]),)


def _instrument_name(key: str) -> str:
    """A legal instrument name (specification, metrics API, "Instrument name syntax"), in the SDK's case."""
    name = _ILLEGAL.sub("_", key.lower())
    return (name if name[:1].isalpha() else f"key_{name}")[:255]


def _taken(value: Any) -> Any:
    try:
        return _as_it_is_now(value)
    except Exception as error:
        return _Unusable(repr(error))


def _as_it_is_now(value: Any) -> Any:
    """A copy of what its owner may change in place: containers, arrays, tensors, frames."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, dict):
        return {key: _as_it_is_now(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_it_is_now(inner) for inner in value]
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(_as_it_is_now(inner) for inner in value)
    if hasattr(value, "detach") and hasattr(value, "clone"):
        return value.detach().clone()
    if type(value).__module__.partition(".")[0] in _COPYABLE:
        return value.copy()
    return value


_COPYABLE = frozenset(("numpy", "pandas"))
