"""Calls of `Bridge.log`, read at the flush."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from opentelemetry.context import Context

from ..attributes import LANE_SCOPE, default_priority, parse_priority, parse_step
from ..ledger import Ledger
from ..records import Bundle, Sample
from .ambient import PRIORITY_KEY, SOURCE_KEY, step_of_baggage
from .clock import ClockState
from .packing import Packed, count_of_values, unpacked
from .snapshot import Unusable

NO_KEY = object()
"""Stands for the key where what came was no dict."""


class _Call(NamedTuple):
    """How an entry is read. What waits is the bare tuple, which costs the caller a fifth of this one."""

    reader: "LogCalls"
    time: float
    values: dict[Any, Any] | Packed
    step: Any
    source: str | None
    priority: Any
    context: Context | None
    clock: ClockState


class LogCalls:
    """A `Reader` of the direct lane.

    Args:
        priorities: Default priority by source.
        axis: A call that has this key (the step axis) is looked at value by value, any other is given out as
            a whole; None: all are looked at value by value.

    Thread-safety: none; the pipeline's lock guards it.
    """

    waiting = 0

    def __init__(self, priorities: Mapping[str, int], axis: str | None = None) -> None:
        self._priorities = priorities
        self._axis = axis

    def samples(self, entry: tuple[Any, ...], ledger: Ledger) -> Sequence[Sample | Bundle]:
        """The samples of a call."""
        call = _Call._make(entry)
        count = count_of_values(call.values)
        ledger.recorded += count
        rejected = sum(ledger.rejected.values())
        try:
            return list(self._samples(call, unpacked(call.values), ledger))
        except Exception as error:  # a hostile object; what came of its entry so far is given up with it
            rest = count - (sum(ledger.rejected.values()) - rejected)
            ledger.reject(
                "values", "Bridge.log", f"an entry cannot be read ({type(error).__name__})", count=rest
            )
            return []

    def settle(self, ledger: Ledger) -> Iterable[Sample]:
        """Nothing is held back."""
        return ()

    def clear(self) -> None:
        """Nothing is held back."""

    def _samples(self, entry: _Call, values: dict[Any, Any], ledger: Ledger) -> Iterable[Sample | Bundle]:
        ambient = entry.context
        source = entry.source
        if source is None and ambient:
            source = ambient.get(SOURCE_KEY)  # type: ignore[assignment]
        source = LANE_SCOPE if source is None else str(source)
        if entry.step is not None:
            try:
                step: int | None = parse_step(entry.step)
            except ValueError as error:
                ledger.reject("step", f"Bridge.log, source {source!r}", str(error), count=len(values))
                return
        else:
            step = step_of_baggage(ambient) if ambient else None
            if step is None:
                step = entry.clock.step_of(source)
        priority = priority_of(entry.priority, ambient, source, self._priorities, ledger, "Bridge.log")
        if self._goes_as_a_whole(values, is_packed=values is not entry.values):
            yield Bundle(source, step, values, priority, entry.time)
            return
        for key, value in values.items():
            if type(value) is Unusable:
                ledger.reject("value", f"Bridge.log, key {key!r}", f"it cannot be copied: {value.why}")
            elif isinstance(key, str) and key:
                yield Sample(source, step, key, value, priority, entry.time)
            elif key is NO_KEY:
                ledger.reject(
                    "values",
                    f"Bridge.log, source {source!r}",
                    f"it takes a dict of values by key; got {value}",
                )
            else:
                ledger.reject(
                    "key", f"Bridge.log, source {source!r}", f"a key is a non-empty string; got {key!r}"
                )

    def _goes_as_a_whole(self, values: Mapping[Any, Any], *, is_packed: bool) -> bool:
        if self._axis is None or self._axis in values or "" in values or not values:
            return False
        if is_packed:  # its keys are text, and all of it is usable
            return True
        if Unusable in map(type, values.values()):
            return False
        try:
            "".join(values)
        except TypeError:  # a key is no text
            return False
        return True


def priority_of(
    given: Any,
    ambient: Context | None,
    source: str,
    priorities: Mapping[str, int],
    ledger: Ledger,
    caller: str,
) -> int:
    """The priority of a call: given, else the ambient one, else that of its source."""
    if given is None and ambient:
        given = ambient.get(PRIORITY_KEY)
    if given is not None:
        try:
            return parse_priority(given)
        except ValueError as error:
            ledger.say_once("priority", f"{caller}, source {source!r}", f"{error}; the default is used")
    return default_priority(source, priorities)
