"""What overtook on the way is put in order again. Pure: time is an argument."""

import heapq
from collections.abc import Hashable
from typing import Any, NamedTuple

from ..records import Sample

TAIL_PATIENCE = 120.0
"""How many seconds the tail of a sender's last export waits for another: two of the default intervals."""


class Part(NamedTuple):
    """Samples of one sender that are handed on together."""

    name: Any
    """Which part of which request."""
    samples: list[Sample]


class _Sender:
    __slots__ = ("tails", "waiting")

    def __init__(self) -> None:
        self.waiting: list[tuple[float, int, float, Part, Part]] = []
        """Exports by the time of their collection: (collected_at, number, arrival, head, tail)."""
        self.tails: list[tuple[float, Part]] = []
        """By arrival: what was measured after a collection began."""


class Ordering:
    """Holds what each sender has exported for a moment, so that an earlier export can still come in.

    An export that a Collector has retried, or sent by another connection, may arrive after a later one. Each
    waits `window` seconds after its arrival, and is handed on after all earlier ones of its sender.

    A collection visits one series after the other while threads record. What was measured after it began
    is its *tail*: it waits for the sender's next collection, which has what this one missed.

    Args:
        window: In seconds.
        bound: How many samples wait at most; past it the first exports are handed on early.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, window: float, bound: int = 200_000) -> None:
        self._window = window
        self._bound = bound
        self._senders: dict[Hashable, _Sender] = {}
        self._arrivals: list[tuple[float, int, Hashable]] = []
        self._number = 0
        self.pending = 0
        """How many samples wait."""

    def add(self, sender: Hashable, collected_at: float, head: Part, tail: Part, now: float) -> None:
        """Take an export in; `now` is in seconds of the injected clock."""
        each = self._senders.setdefault(sender, _Sender())
        self._number += 1
        heapq.heappush(each.waiting, (collected_at, self._number, now, head, tail))
        heapq.heappush(self._arrivals, (now, self._number, sender))
        self.pending += len(head.samples) + len(tail.samples)

    def due(self, now: float, *, everything: bool = False) -> list[Part]:
        """What has waited long enough, each sender's in the order of its collections.

        Args:
            now: Seconds of the injected clock.
            everything: Nothing waits any longer.
        """
        parts: list[Part] = []
        while self._arrivals and (
            everything or self._arrivals[0][0] + self._window <= now or self.pending > self._bound
        ):
            _, number, sender = heapq.heappop(self._arrivals)
            self._hand_on(self._senders.get(sender), number, parts)
        for name, each in list(self._senders.items()):
            while each.tails and (everything or each.tails[0][0] + TAIL_PATIENCE <= now):
                self._give(each.tails.pop(0)[1], parts)
            if not each.waiting and not each.tails:
                del self._senders[name]
        return parts

    def deadline(self) -> float | None:
        """When `due` is to be asked again, in seconds of the injected clock; None: nothing waits."""
        deadlines = [each.tails[0][0] + TAIL_PATIENCE for each in self._senders.values() if each.tails]
        if self._arrivals:
            deadlines.append(self._arrivals[0][0] + self._window)
        return min(deadlines, default=None)

    def _hand_on(self, sender: _Sender | None, number: int, parts: list[Part]) -> None:
        """Hand on the export with this number, and those of its sender that were collected before."""
        if sender is None or not any(number == each[1] for each in sender.waiting):
            return  # it went with a later one
        while True:
            _, this, arrival, head, tail = heapq.heappop(sender.waiting)
            for _, before in sender.tails:
                self._give(before, parts)
            sender.tails.clear()
            self._give(head, parts)
            if tail.samples:
                sender.tails.append((arrival, tail))
            if this == number:
                return

    def _give(self, part: Part, parts: list[Part]) -> None:
        self.pending -= len(part.samples)
        if part.samples:
            parts.append(part)
