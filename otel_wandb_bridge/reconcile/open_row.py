"""A row in the making: the samples of one step, merged as they come."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, final

from ..records import Bundle, Distribution, Kind, Manner, Row, Sample
from ..sources import Source
from .gathering import Note, gather
from .nested import are_disjoint, joined
from .reduction import Reductions
from .shares import SlotKey, Slots, key_of, slot_key
from .totals import Totals

SUMMED = frozenset((Kind.INCREMENT, Kind.OBSERVATION))
"""Kinds of which every sample goes into the value: they override nothing."""


@final
class Slot:
    """What one key holds so far."""

    __slots__ = ("kind", "priority", "samples", "source", "time", "value")

    def __init__(self, sample: Sample) -> None:
        self.value: Any = [sample.value] if sample.kind is Kind.OBSERVATION else sample.value
        self.kind = sample.kind
        self.priority = sample.priority
        self.time = sample.time
        self.source = sample.source
        self.samples = 1

    def value_of(self, key: str) -> Any:
        """What the key holds; a `Bundle` stands for many keys."""
        return self.value

    def copy(self) -> "Slot":
        """A slot that can take samples in without changing this one."""
        # Not by the copy module, which takes ten times as long.
        twin = object.__new__(Slot)
        twin.value = list(self.value) if self.kind is Kind.OBSERVATION else self.value
        twin.kind, twin.priority, twin.samples = self.kind, self.priority, self.samples
        twin.time, twin.source = self.time, self.source
        return twin


class OpenRow:
    """The samples of one step so far.

    Thread-safety: none; the pipeline's lock guards it.
    """

    __slots__ = (
        "_bundles",
        "_readings",
        "has_shares",
        "has_totals",
        "late",
        "riders",
        "samples",
        "slots",
        "step",
        "time",
    )

    def __init__(self, step: int | None, *, late: bool = False) -> None:
        self.step = step
        self.late = late
        self.slots: dict[SlotKey, Slot | Bundle | Sample] = {}
        """A key that came once is held by its sample, which need not be copied into a slot."""
        self.has_totals = False
        """Whether there may be running totals in it."""
        self.has_shares = False
        """Whether a source of a known process has reported: its values are shares of those of their keys."""
        self._bundles: list[Bundle] | None = []
        """All that the row holds, as long as that is disjoint bundles alone; None: look at the slots."""
        self.riders: list[Sample | Bundle] = []
        """What goes with this row where it overwrites nothing: unstepped samples, and calls as a whole."""
        self._readings: dict[SlotKey, int] = {}
        self.samples = 0
        """How many samples wait here, riders included."""
        self.time = 0.0

    @property
    def source(self) -> str:
        """One that reported for it."""
        for slot in self.slots.values():
            return slot.source
        return self.riders[0].source if self.riders else ""

    def put(self, sample: Sample | Bundle) -> bool:
        """Take in what most samples are: the first of its key (from its process, where that is known).

        Returns:
            False where it is another; nothing is done then.
        """
        if type(sample) is not Sample:
            return False
        source, kind = sample.source, sample.kind
        slots = self.slots
        at: SlotKey = (sample.key, source.contributor) if type(source) is Source else sample.key
        if at in slots or kind is Kind.PROGRESS:
            return False
        self._bundles = None
        if at is not sample.key:
            self.has_shares = True
        slots[at] = Slot(sample) if kind is Kind.OBSERVATION else sample
        if kind is Kind.INCREMENT:
            self.has_totals = True
        self.samples += 1
        if sample.time > self.time:
            self.time = sample.time
        return True

    def merge(self, sample: Sample) -> tuple[int, bool]:
        """Take a sample in: the higher priority stands, then the later measurement.

        Returns:
            How many samples it overrode (itself counts, where it lost), and whether the same source had
            already reported this key at this step.
        """
        if sample.time > self.time:
            self.time = sample.time
        at: SlotKey = sample.key
        if sample.kind is Kind.INCREMENT:
            self.has_totals = True
        if type(sample.source) is Source:
            self.has_shares = True
            at = (sample.key, sample.source.contributor)
        slot = self._slot(at)
        if slot is None:
            self.slots[at] = Slot(sample)
            self.samples += 1
            return 0, False
        if slot.kind is sample.kind and self._accumulate(slot, sample):
            self.samples += 1
            return 0, False
        again = slot.source == sample.source
        loses = sample.priority > slot.priority or (
            sample.priority == slot.priority and sample.time < slot.time
        )
        nested = isinstance(slot.value, dict) and isinstance(sample.value, dict)
        if loses:
            if nested:
                slot.value = joined(sample.value, slot.value)
            return 1, again
        overridden = slot.samples
        before = slot.value
        self.slots[at] = slot = Slot(sample)
        if nested:
            slot.value = joined(before, sample.value)
        self.samples += 1 - overridden
        return overridden, again

    def take(self, bundle: Bundle) -> tuple[int, int]:
        """Take a bundle in: what `merge` does for each of its samples.

        Returns:
            How many samples were overridden, and how many its source had already reported.
        """
        values = bundle.values
        if type(bundle.source) is Source:
            merged = [self.merge(sample) for sample in bundle]
            return sum(overridden for overridden, _ in merged), sum(again for _, again in merged)
        if self.slots.keys().isdisjoint(values):
            if bundle.time > self.time:
                self.time = bundle.time
            self.slots.update(dict.fromkeys(values, bundle))
            self.samples += len(values)
            if self._bundles is not None:
                self._bundles.append(bundle)
            return 0, 0
        # Calls come in their order, whatever the wall clock says: the later one is later.
        time = max(bundle.time, max(self.slots[key].time for key in self.slots.keys() & values.keys()))
        merged = [self.merge(sample._replace(time=time)) for sample in bundle]
        return sum(overridden for overridden, _ in merged), sum(again for _, again in merged)

    def ride(self, rider: Sample | Bundle) -> None:
        """Take a sample or a bundle along."""
        self.riders.append(rider)
        self.samples += size_of(rider)

    def ride_anew(self, reading: Sample) -> bool:
        """Take along what an observable says now; returns whether in place of what it said before."""
        at = slot_key(reading.key, reading.source)
        seat = self._readings.setdefault(at, len(self.riders))
        if seat < len(self.riders):
            before = self.riders[seat]
            if before.kind is Kind.READING and at in places_of(before):
                self.riders[seat] = reading
                return True
            self._readings[at] = len(self.riders)  # some were shed
        self.ride(reading)
        return False

    def held(self) -> Iterator[Sample]:
        """What is in it, and rides with it; samples that were added up are one."""
        for at, slot in self.slots.items():
            key = key_of(at)
            yield Sample(slot.source, self.step, key, slot.value_of(key), slot.priority, slot.time, slot.kind)
        for rider in self.riders:
            yield from rider if type(rider) is Bundle else (rider,)

    def drop(self, at: SlotKey) -> int:
        """Give up what is held under a key. Returns how many samples that was."""
        self._bundles = None
        return self.slots.pop(at).samples

    def seated(self, folding: Iterable[Sample]) -> tuple["OpenRow", list["OpenRow"], int]:
        """This row as it is to be committed, with all that goes along in its place.

        Riders take a free key of this row, else of a further row with the same step; those of one bundle
        stay together. Late samples of other steps (`folding`) take a free key; what is the row's own always
        stands. The row itself is left as it is, so that a commit that fails can be tried again with what
        has come in since.

        Returns:
            The row, the further rows to be committed after it, and how many samples were overridden.
        """
        row = OpenRow(self.step, late=self.late)
        row.slots = {key: slot.copy() if type(slot) is Slot else slot for key, slot in self.slots.items()}
        row._bundles = None if self._bundles is None else [*self._bundles]
        row.has_shares, row.has_totals = self.has_shares, self.has_totals
        row.samples, row.time = self.samples - sum(map(size_of, self.riders)), self.time
        overridden = 0
        for sample in folding:
            if row.has_room_for(sample):
                row.merge(sample)
            else:
                overridden += 1
        further: list[OpenRow] = []
        alone: list[OpenRow] = []
        # Where the search for a free row begins: a key that is taken n times is not looked for n times.
        full: dict[SlotKey, int] = {}
        for rider in self.riders:
            if type(rider) is Bundle and rider.manner is Manner.STANDS_ALONE:
                alone.append(OpenRow(self.step, late=self.late))
                alone[-1].take(rider)
                continue
            keys = places_of(rider)
            seat = max(full.get(key, 0) for key in keys)
            while True:
                if seat > len(further):
                    further.append(OpenRow(self.step, late=self.late))
                place = further[seat - 1] if seat else row
                if place.has_room_for(rider):
                    break
                seat += 1
            full.update(dict.fromkeys(keys, seat))
            overridden += place.take(rider)[0] if type(rider) is Bundle else place.merge(rider)[0]
        further = sorted([*further, *alone], key=_time)
        if not row.slots and further:
            row = further.pop(0)
        return row, further, overridden

    def has_room_for(self, rider: Sample | Bundle) -> bool:
        """Whether it can be taken in without overriding anything (but its equal, in a bundle)."""
        if type(rider) is Bundle:
            places = zip(places_of(rider), rider.values, strict=True)
            taken = [(self.slots[at], key) for at, key in places if at in self.slots]
            return all(_are_equal(slot.value_of(key), rider.values[key]) for slot, key in taken)
        slot = self.slots.get(slot_key(rider.key, rider.source))
        return slot is None or (slot.kind is rider.kind and rider.kind in SUMMED)

    def finish(self, totals: Totals, reductions: Reductions, note: Note, before: Slots) -> Row:
        """The row as it is to be written.

        Args:
            totals: The running totals without it.
            reductions: What is written of keys that several processes report.
            note: Says something once.
            before: What rows of its step before held, where several processes report.
        """
        if self.has_shares:

            def shown(at: SlotKey, increment: Any) -> Any:
                return totals.shown(at, self.step, increment)

            gathered = gather(self.slots, before, shown, reductions, note)
            newest = {key: total for key, total in self._newest(totals).items() if reductions.of(key) is None}
            samples = self.samples - gathered.lost
            return Row(self.step, gathered.values, self.time, samples, self.late, newest, slots=self.slots)
        values: dict[str, Any] = {}
        if self._bundles is not None:
            for bundle in sorted(self._bundles, key=_priority):
                values.update(bundle.values)
            return Row(self.step, values, self.time, self.samples, self.late, slots=self.slots)
        slots = self.slots.items()
        if len({slot.priority for slot in self.slots.values()}) > 1:
            slots = sorted(slots, key=lambda item: item[1].priority)  # type: ignore[assignment]
        for key, slot in slots:
            assert isinstance(key, str)
            value = slot.values[key] if type(slot) is Bundle else slot.value
            kind = slot.kind
            if kind is Kind.INCREMENT:
                values[key] = totals.shown(key, self.step, value)
            elif kind is Kind.OBSERVATION:
                values[key] = Distribution(tuple(value))
            else:
                values[key] = value
        newest = self._newest(totals)
        return Row(self.step, values, self.time, self.samples, self.late, newest, slots=self.slots)

    def _newest(self, totals: Totals) -> dict[str, Any]:
        if not self.late:
            return {}
        increments: dict[str, Any] = {}
        for at, slot in self.slots.items():
            if slot.kind is Kind.INCREMENT:
                key = key_of(at)
                increments[key] = increments.get(key, 0) + slot.value_of(key)
        newest = {key: totals.newest(key, increment) for key, increment in increments.items()}
        return {key: total for key, total in newest.items() if total is not None}

    def _slot(self, key: SlotKey) -> Slot | None:
        """What a key holds, as its own from now on."""
        self._bundles = None
        slot = self.slots.get(key)
        if type(slot) is Bundle:
            assert isinstance(key, str)
            slot = Sample(slot.source, slot.step, key, slot.values[key], slot.priority, slot.time)
        if type(slot) is Sample:
            slot = self.slots[key] = Slot(slot)
        assert slot is None or type(slot) is Slot
        return slot

    @staticmethod
    def _accumulate(slot: Slot, sample: Sample) -> bool:
        if sample.kind is Kind.INCREMENT:
            slot.value += sample.value
        elif sample.kind is Kind.OBSERVATION:
            slot.value.append(sample.value)
        elif isinstance(slot.value, dict) and isinstance(sample.value, dict):
            if not are_disjoint(slot.value, sample.value):
                return False
            slot.value = joined(slot.value, sample.value)
        else:
            return False
        slot.priority = min(slot.priority, sample.priority)
        slot.time = max(slot.time, sample.time)
        slot.samples += 1
        return True


def size_of(item: Sample | Bundle) -> int:
    """How many samples it is."""
    return len(item.values) if type(item) is Bundle else 1


def samples_of(item: Sample | Bundle) -> Iterable[Sample]:
    """The samples that it is, or stands for."""
    return item if type(item) is Bundle else (item,)


def places_of(item: Sample | Bundle) -> list[SlotKey]:
    """Where its values are held, in their order."""
    return [slot_key(key, item.source) for key in (item.values if type(item) is Bundle else (item.key,))]


def keys_of(item: Sample | Bundle) -> Collection[str]:
    """The keys of its values."""
    return item.values.keys() if type(item) is Bundle else (item.key,)


def _priority(bundle: Bundle) -> int:
    return bundle.priority


def _time(row: OpenRow) -> float:
    return row.time


def _are_equal(one: Any, other: Any) -> bool:
    """Whether two plain values are the same: nothing is lost where one stands for both."""
    if type(one) is not type(other) or not isinstance(one, (float, int, str, bool, type(None))):
        return False
    return one == other or (one != one and other != other)
