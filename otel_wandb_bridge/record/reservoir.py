"""The reservoir that keeps every measurement, each with the step that was its own when it was recorded.

An exemplar is the one place of the OpenTelemetry data model where a raw measurement survives aggregation
and travels with its data point (specification, metrics data model, "Exemplars").
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import Exemplar, ExemplarReservoir
from opentelemetry.trace import INVALID_SPAN
from opentelemetry.util.types import Attributes

from ..attributes import OBSERVED, PRIORITY, SETTLED_STEP, SHED, SOURCE, STEP, parse_step
from ..records import PLAIN
from .ambient import PRIORITY_KEY, SOURCE_KEY, step_of_baggage
from .clock import STEP_CLOCK, ClockState

DEFAULT_BOUND = 131_072
"""Measurements of one series that wait for a collection at most."""


_Kept = tuple[float, int, Mapping[str, Any] | None, Context, ClockState]


class KeepAllReservoir(ExemplarReservoir):
    """Keeps every measurement of one series until the next collection.

    Args:
        bound: How many measurements wait at most; further ones are counted, and the count is reported.
        on_high_water: Called when half of that wait, to have them collected before the interval is over.
            It must be quick and must neither raise nor record.
        observed: The instrument is an observable one.

    Thread-safety: `offer` runs in training threads while a reader collects. It takes no lock: appends and
    pops at the ends of a deque are atomic (Python documentation, `collections.deque`), and `collect` pops
    what it returns instead of swapping the container, so that a concurrent append cannot go astray.
    """

    def __init__(
        self,
        bound: int = DEFAULT_BOUND,
        on_high_water: Callable[[], None] = lambda: None,
        *,
        observed: bool = False,
        **_: Any,
    ) -> None:
        self._bound = bound
        self._high_water = bound // 2
        self._on_high_water = on_high_water
        self._observed = observed
        self._kept: deque[_Kept] = deque()
        self._lock = threading.Lock()
        self._shed = 0

    def __len__(self) -> int:
        """How many measurements wait."""
        return len(self._kept)

    @property
    def shed(self) -> int:
        """How many measurements were not kept since the last collection."""
        return self._shed

    def offer(self, value: float, time_unix_nano: int, attributes: Attributes, context: Context) -> None:
        """Keep a measurement. Never raises, blocks or records; see the class for what it costs."""
        kept = self._kept
        waiting = len(kept)
        if waiting >= self._bound:
            with self._lock:
                self._shed += 1
            return
        measured: dict[str, Any] | None = None
        try:
            if attributes:
                # A copy: before SDK 1.45.0 this is the caller's own dict, which callers reuse.
                measured = dict(attributes)
                if type(measured.get(STEP)) not in PLAIN:
                    measured[STEP] = parse_step(measured[STEP])
        except Exception:
            pass
        if type(value) not in PLAIN:
            value = _number(value)
        kept.append((value, time_unix_nano, measured, context, STEP_CLOCK.state))
        if waiting >= self._high_water:
            self._on_high_water()

    def collect(self, point_attributes: Attributes) -> list[Exemplar]:
        """Give out what was kept, settled; at least one exemplar, so that the point is known as ours."""
        kept = self._kept
        point = point_attributes or {}
        exemplars = [self._readable(kept.popleft(), point) for _ in range(len(kept))]
        if not exemplars:
            exemplars.append(Exemplar({SETTLED_STEP: True}, 0, 0))
        if self._shed:
            with self._lock:
                shed, self._shed = self._shed, 0
            exemplars.append(Exemplar({SETTLED_STEP: True, SHED: shed}, 0, 0))
        return exemplars

    def clear(self) -> None:
        """Forget what waits: in a forked child it is the parent's to write."""
        self._kept.clear()
        self._lock = threading.Lock()
        self._shed = 0

    def _readable(self, kept: _Kept, point: Mapping[str, Any]) -> Exemplar:
        try:
            return self._settled(*kept, point)
        except Exception as error:  # a hostile attribute: raising here would end the reader's thread
            return Exemplar(
                {SETTLED_STEP: f"its attributes cannot be read ({type(error).__name__})"}, kept[0], kept[1]
            )

    def _settled(
        self,
        value: float,
        time_unix_nano: int,
        measured: Mapping[str, Any] | None,
        context: Context,
        clock: ClockState,
        point: Mapping[str, Any],
    ) -> Exemplar:
        measured = measured or {}
        kept = {key: value for key, value in measured.items() if key not in point and key != STEP}
        source = measured.get(SOURCE)
        if context:
            if source is None and (source := context.get(SOURCE_KEY)) is not None:
                kept[SOURCE] = source
            if PRIORITY not in measured and (priority := context.get(PRIORITY_KEY)) is not None:
                kept[PRIORITY] = priority
        if STEP in measured:
            kept[SETTLED_STEP] = _settle(measured[STEP])
        else:
            step = step_of_baggage(context)
            if step is None:
                step = clock.step_of(source)
            kept[SETTLED_STEP] = False if step is None else step
        if self._observed:
            kept[OBSERVED] = True
        if context:
            span = trace.get_current_span(context)
            if span is not INVALID_SPAN:
                ids = span.get_span_context()
                if not ids.trace_flags.sampled:  # nobody keeps that trace
                    return Exemplar(kept, value, time_unix_nano)
                return Exemplar(kept, value, time_unix_nano, ids.span_id, ids.trace_id)
        return Exemplar(kept, value, time_unix_nano)


def _number(value: Any) -> Any:
    """The number in a NumPy scalar, or in a 0-d array or tensor, which its owner may change in place."""
    try:
        return value.item() if hasattr(value, "item") else float(value)
    except Exception:
        return value


def _settle(step: Any) -> int | str:
    try:
        return parse_step(step)
    except ValueError as error:
        return str(error)
