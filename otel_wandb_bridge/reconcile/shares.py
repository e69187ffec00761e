"""What several processes hold of one key: their shares, and where these are held in a row."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from ..records import Kind
from ..sources import Source

SlotKey = str | tuple[str, str]
"""A key; for a source of a known process, the key and the contributor (`Process.contributor`)."""


class Held(Protocol):
    """What is held under a `SlotKey`."""

    @property
    def kind(self) -> Kind:
        """How its samples become one value."""

    @property
    def priority(self) -> int:
        """The highest of them."""

    @property
    def time(self) -> float:
        """The latest."""

    @property
    def source(self) -> str:
        """Who reported first."""

    @property
    def samples(self) -> int:
        """How many samples it holds."""

    def value_of(self, key: str) -> Any:
        """What the key holds."""


Slots = Mapping[SlotKey, Held]


def key_of(at: SlotKey) -> str:
    """The key of a `SlotKey`."""
    return at if isinstance(at, str) else at[0]


def slot_key(key: str, source: str) -> SlotKey:
    """Where the values of a key from a source are held."""
    return (key, source.contributor) if type(source) is Source else key


def total_keys(at: SlotKey) -> Iterable[SlotKey]:
    """The running totals that an increment adds to: that of the key, and the process's own."""
    return (at,) if isinstance(at, str) else (at[0], at)


def standing(key: str, slots: Slots) -> Held | None:
    """What stands under a key, of shares that are no numbers: the highest priority, then the latest."""
    held = [slot for at, slot in slots.items() if key_of(at) == key]
    return min(held, key=order_of) if held else None


def joined(before: Slots, slots: Slots) -> Slots:
    """What a row holds, together with what rows of its step before held.

    Not the increments of those: running totals know them. Of one process, the higher priority stands, then
    the later measurement.
    """
    both: dict[SlotKey, Held] = {
        at: slot for at, slot in before.items() if type(at) is tuple and slot.kind is not Kind.INCREMENT
    }
    for at, slot in slots.items():
        earlier = both.get(at)
        if earlier is None or earlier.kind is not slot.kind or slot.kind is Kind.INCREMENT:
            both[at] = slot
        elif slot.kind is Kind.OBSERVATION:
            both[at] = _United(earlier, slot)
        elif order_of(slot) <= order_of(earlier):
            both[at] = slot
    return both


class _United:
    """The observations of one process in two rows; the samples are those of the later."""

    kind = Kind.OBSERVATION

    def __init__(self, earlier: Held, late: Held) -> None:
        self._both = earlier, late
        self.priority = min(earlier.priority, late.priority)
        self.time = max(earlier.time, late.time)
        self.source = late.source
        self.samples = late.samples

    def value_of(self, key: str) -> list[Any]:
        return [value for each in self._both for value in each.value_of(key)]


def order_of(slot: Held) -> tuple[int, float]:
    """The lowest stands: the highest priority, then the latest measurement."""
    return slot.priority, -slot.time
