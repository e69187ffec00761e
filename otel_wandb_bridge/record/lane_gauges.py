"""What the direct lane was given, as observable gauges for every other reader."""

import logging
import math
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable
from numbers import Real

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from ..records import Sample

_ILLEGAL = re.compile(r"[^A-Za-z0-9_.\-/]")
_LARGEST = 2**63 - 1
_logger = logging.getLogger("otel_wandb_bridge")

LIMIT = 1_000
"""Keys that are shown at most: the SDK compares each new instrument with all that exist."""


class LaneGauges:
    """Shows the scalars of the direct lane to every other reader, as observable gauges of its meter.

    Thread-safety: safe from any thread; the callbacks run in the threads of the readers.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._latest: dict[str, float] = {}
        self._new: deque[str] = deque()
        self._is_full = False
        self._lock = threading.Lock()

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
            if name in self._latest:
                self._latest[name] = value
            else:
                self._show_first(name, value)

    def after_fork(self) -> None:
        """In a forked child: a thread that is not there any more may have held the lock."""
        self._lock = threading.Lock()

    def _show_first(self, name: str, value: float) -> None:
        with self._lock:
            if name in self._latest:
                return
            if len(self._latest) < LIMIT:
                self._latest[name] = value
                self._new.append(name)
            elif not self._is_full:
                self._is_full = True
                _logger.warning(
                    "more than %d keys are logged; further ones go to W&B alone, not to other readers", LIMIT
                )

    def create(self) -> None:
        """Make the instruments of new keys. It takes locks of the SDK: call it while holding none of ours."""
        while self._new:
            try:
                name = self._new.popleft()
            except IndexError:  # another thread was quicker
                return
            self._meter.create_observable_gauge(name, [self._observe(name)])

    def _observe(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        return lambda _: (Observation(self._latest[name]),)


def _instrument_name(key: str) -> str:
    """A legal instrument name (specification, metrics API, "Instrument name syntax"), in the SDK's case."""
    name = _ILLEGAL.sub("_", key.lower())
    return (name if name[:1].isalpha() else f"key_{name}")[:255]
