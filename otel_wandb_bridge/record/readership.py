"""One exporter, one reader of a provider: which of the readers that it is given to may keep measurements."""

import threading
import weakref
from collections.abc import Callable
from typing import Any

from opentelemetry.metrics import Instrument
from opentelemetry.sdk.metrics.export import MetricExporter, MetricReader
from opentelemetry.sdk.metrics.view import Aggregation

from ..ledger import Ledger
from .aggregation import INSTRUMENTS, StepAggregation
from .intake import Intake
from .sdk import consumer_of, readers_of


class Readership:
    """Makes an aggregation for each reader that is built around one exporter, and lets the right ones record.

    Each reader aggregates by itself and exports what it has. Were two readers of one provider to export to
    one exporter, every measurement would come twice, and each counter would be twice as high. The first of
    them that records keeps its measurements; to the other, no instrument has anything to collect. Readers of
    other providers record other instruments.

    Args:
        intake: Where measurements are kept.
        on_instrument: Told each instrument that records.
        on_provider: Told the first instrument of each provider that does.

    Thread-safety: safe from any thread.
    """

    def __init__(
        self,
        intake: Intake,
        on_instrument: Callable[[Instrument], None],
        on_provider: Callable[[Instrument], None] = lambda _: None,
    ) -> None:
        self._intake = intake
        self._on_instrument = on_instrument
        self._on_provider = on_provider
        self._lock = threading.RLock()  # reentrant: a finalizer may record in the midst of it
        self._made: list[StepAggregation] = []
        self._recording: weakref.WeakKeyDictionary[Any, StepAggregation] = weakref.WeakKeyDictionary()
        self.has_rival = False
        """Whether a further reader of a provider wanted to record."""

    def aggregation(self) -> StepAggregation:
        """The aggregation for one more reader."""
        made = StepAggregation(self._intake, self._on_instrument, self._may_record)
        with self._lock:
            self._made.append(made)
        return made

    def readers(self) -> list[MetricReader]:
        """The readers that there are."""
        with self._lock:
            made = [*self._made]
        return [reader for each in made for reader in readers_of(each)]

    def say_of_rivals(self, ledger: Ledger) -> None:
        """Say once that a further reader of a provider wanted to record, where one did."""
        if self.has_rival:
            ledger.say_once(
                "reader",
                "WandbMetricExporter",
                "two readers of one provider have it, and it would have everything twice; only the first "
                "that records is heard. Give a provider one reader with it",
            )

    def after_fork(self) -> None:
        """In a forked child: a thread that is not there any more may have held the lock."""
        self._lock = threading.RLock()

    def _may_record(self, aggregation: StepAggregation, instrument: Instrument) -> bool:
        consumer = consumer_of(instrument)
        if consumer is None:
            return True
        with self._lock:
            recording = self._recording.get(consumer)
            if recording is None:
                self._on_provider(instrument)
            if recording is None or (recording is not aggregation and not readers_of(recording)):
                self._recording[consumer] = recording = aggregation
            elif recording is not aggregation:
                self.has_rival = True
            return recording is aggregation


class HeardOnce(MetricExporter):
    """An exporter that hears each measurement once, however many readers of a provider it is given to.

    Its readers take their aggregations from `readership`, which is to be set before the base is initialized.
    """

    readership: Readership

    @property
    def _preferred_aggregation(self) -> dict[type, Aggregation] | None:
        # Under this name a reader takes it, once. The public way would be one and the same aggregation for
        # all readers, which could not be told apart then (`tests/record/test_readership.py` guards it).
        return dict.fromkeys(INSTRUMENTS, self.readership.aggregation())

    @_preferred_aggregation.setter
    def _preferred_aggregation(self, given: dict[type, Aggregation] | None) -> None:
        """`MetricExporter` sets what it was given: nothing."""
