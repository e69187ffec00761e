"""What the direct lane was given, as observable gauges for every other reader."""

import logging
import math
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from typing import Any

from opentelemetry.metrics import CallbackOptions, Instrument, Meter, Observation, get_meter

from ..attributes import LANE_SCOPE
from ..records import Bundle, Sample

_ILLEGAL = re.compile(r"[^A-Za-z0-9_.\-/]")
_LARGEST = 2**63 - 1
_logger = logging.getLogger("otel_wandb_bridge")

LIMIT = 1_000
"""Keys that are shown at most: the SDK compares each new instrument with all that exist."""


_of_the_global_provider: "LaneGauges | None" = None


def global_gauges() -> "LaneGauges":
    """Those of the global meter provider: of the one that is, or the one to come."""
    global _of_the_global_provider
    if _of_the_global_provider is None:
        _of_the_global_provider = LaneGauges(get_meter(LANE_SCOPE))
    return _of_the_global_provider


class LaneGauges:
    """Shows the scalars of the direct lane to every other reader, as observable gauges of its meter.

    Thread-safety: safe from any thread; the callbacks run in the threads of the readers.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.instruments: list[Instrument] = []
        """Those that were made."""
        self._waiting: dict[str, float] = {}
        self._latest: dict[str, float] = {}
        self._is_full = False
        self._lock = threading.Lock()

    def show(self, items: Sequence[Sample | Bundle]) -> None:
        """Take over the last value of each key, to be seen after the next `create`.

        Non-finite values are left out: the SDK refuses them.
        """
        latest: dict[str, float] = {}
        for item in reversed(items):
            values = item.values if type(item) is Bundle else {item.key: item.value}
            if values.keys() <= latest.keys():
                continue
            for key in reversed(values):
                number = None if key in latest else _number(values[key])
                if number is not None:
                    latest[key] = number
        with self._lock:
            self._waiting.update(reversed(latest.items()))

    def create(self) -> None:
        """Show the values, and make the instruments of new keys.

        It takes locks of the SDK: call it while holding none of ours.
        """
        new: list[str] = []
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            for key, number in waiting.items():
                name = _instrument_name(key)
                if name not in self._latest:
                    if len(self._latest) >= LIMIT:
                        self._say_full()
                        continue
                    new.append(name)
                self._latest[name] = number
        for name in new:
            self.instruments.append(self._meter.create_observable_gauge(name, [self._observe(name)]))

    def after_fork(self) -> None:
        """In a forked child: a thread that is not there any more may have held the lock."""
        self._lock = threading.Lock()

    def _say_full(self) -> None:
        if not self._is_full:
            self._is_full = True
            _logger.warning(
                "more than %d keys are logged; further ones go to W&B alone, not to other readers", LIMIT
            )

    def _observe(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        return lambda _: (Observation(self._latest[name]),)


def _number(value: Any) -> float | None:
    """The value as OTLP has room for it; None where it is none, or not finite."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return None
    try:
        # An exporter that gets a larger integer than 64 bits loses the collection.
        number = value if isinstance(value, int) and abs(value) <= _LARGEST else float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _instrument_name(key: str) -> str:
    """A legal instrument name (specification, metrics API, "Instrument name syntax"), in the SDK's case."""
    name = _ILLEGAL.sub("_", key.lower())
    return (name if name[:1].isalpha() else f"key_{name}")[:255]
