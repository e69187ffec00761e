"""A row in the making: the samples of one step, merged as they come."""

from collections.abc import Iterable, Iterator
from copy import copy
from typing import Any

from ..records import Call, Distribution, Kind, Manner, Row, Sample

SUMMED = frozenset((Kind.INCREMENT, Kind.OBSERVATION))
"""Kinds of which every sample goes into the value: they override nothing."""


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

    def copy(self) -> "Slot":
        """A slot that can take samples in without changing this one."""
        twin = copy(self)
        if self.kind is Kind.OBSERVATION:
            twin.value = list(self.value)
        return twin


class OpenRow:
    """The samples of one step so far.

    Thread-safety: none; the pipeline's lock guards it.
    """

    __slots__ = ("call", "late", "riders", "samples", "slots", "step", "time")

    def __init__(self, step: int | None, *, late: bool = False) -> None:
        self.step = step
        self.late = late
        self.call: Call | None = None
        """The call that the row is for, where that stands alone."""
        self.slots: dict[str, Slot] = {}
        self.riders: list[Sample] = []
        """Samples that go with this row where they overwrite nothing: the unstepped, and those of calls."""
        self.samples = 0
        """How many samples wait here, riders included."""
        self.time = 0.0

    @property
    def source(self) -> str:
        """One that reported for it."""
        for slot in self.slots.values():
            return slot.source
        return self.riders[0].source if self.riders else ""

    def merge(self, sample: Sample) -> tuple[int, bool]:
        """Take a sample in: the higher priority stands, then the later measurement.

        Returns:
            How many samples it overrode (itself counts, where it lost), and whether the same source had
            already reported this key at this step.
        """
        if sample.time > self.time:
            self.time = sample.time
        slot = self.slots.get(sample.key)
        if slot is None:
            self.slots[sample.key] = Slot(sample)
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
                slot.value = _joined(sample.value, slot.value)
            return 1, again
        overridden = slot.samples
        before = slot.value
        self.slots[sample.key] = slot = Slot(sample)
        if nested:
            slot.value = _joined(before, sample.value)
        self.samples += 1 - overridden
        return overridden, again

    def ride(self, sample: Sample) -> None:
        """Take a sample along; those of one call come one after the other."""
        self.riders.append(sample)
        self.samples += 1

    def seated(self, folding: Iterable[Sample]) -> tuple["OpenRow", list["OpenRow"], int]:
        """This row as it is to be committed, with all that goes along in its place.

        Riders take a free key of this row, else of a further row with the same step; those of one call stay
        together. Late samples of other steps (`folding`) take a free key; what is the row's own always
        stands. The row itself is left as it is, so that a commit that fails can be tried again with what
        has come in since.

        Returns:
            The row, the further rows to be committed after it, and how many samples were overridden.
        """
        row = OpenRow(self.step, late=self.late)
        row.slots = {key: slot.copy() for key, slot in self.slots.items()}
        row.samples, row.time = self.samples - len(self.riders), self.time
        overridden = 0
        for sample in folding:
            if row.has_room_for(sample):
                row.merge(sample)
            else:
                overridden += 1
        further: list[OpenRow] = []
        alone: list[OpenRow] = []
        # Where the search for a free row begins: a key that is taken n times is not looked for n times.
        full: dict[str, int] = {}
        for group in _groups(self.riders):
            if group[0].call is not None and group[0].call.manner is Manner.STANDS_ALONE:
                place = OpenRow(self.step, late=self.late)
                alone.append(place)
            else:
                seat = max(full.get(sample.key, 0) for sample in group)
                while True:
                    if seat > len(further):
                        further.append(OpenRow(self.step, late=self.late))
                    place = further[seat - 1] if seat else row
                    if all(place.has_room_for(sample) for sample in group):
                        break
                    seat += 1
                full.update((sample.key, seat) for sample in group)
            for sample in group:
                overridden += place.merge(sample)[0]
        further = sorted([*further, *alone], key=_time)
        if not row.slots and further:
            row = further.pop(0)
        return row, further, overridden

    def has_room_for(self, sample: Sample) -> bool:
        """Whether the sample can be taken in without overriding anything (but its equal, in a call)."""
        slot = self.slots.get(sample.key)
        if slot is None:
            return True
        if slot.kind is not sample.kind:
            return False
        if sample.kind in SUMMED:
            return True
        return sample.call is not None and _are_equal(slot.value, sample.value)

    def finish(self, totals: dict[str, float]) -> Row:
        """The row as it is to be written; `totals` are the running totals before it, by key."""
        slots = self.slots.items()
        if len({slot.priority for slot in self.slots.values()}) > 1:
            slots = sorted(slots, key=lambda item: item[1].priority)  # type: ignore[assignment]
        values: dict[str, Any] = {}
        for key, slot in slots:
            if slot.kind is Kind.INCREMENT:
                values[key] = totals.get(key, 0) + slot.value
            elif slot.kind is Kind.OBSERVATION:
                values[key] = Distribution(tuple(slot.value))
            else:
                values[key] = slot.value
        return Row(self.step, values, self.time, self.samples, self.late)

    @staticmethod
    def _accumulate(slot: Slot, sample: Sample) -> bool:
        if sample.kind is Kind.INCREMENT:
            slot.value += sample.value
        elif sample.kind is Kind.OBSERVATION:
            slot.value.append(sample.value)
        elif isinstance(slot.value, dict) and isinstance(sample.value, dict):
            if not _disjoint(slot.value, sample.value):
                return False
            slot.value = _joined(slot.value, sample.value)
        else:
            return False
        slot.priority = min(slot.priority, sample.priority)
        slot.time = max(slot.time, sample.time)
        slot.samples += 1
        return True


def _groups(riders: list[Sample]) -> Iterator[list[Sample]]:
    """Riders that go together: those of one call, and each that is of none."""
    group: list[Sample] = []
    for sample in riders:
        if group and (sample.call is None or sample.call is not group[0].call):
            yield group
            group = []
        group.append(sample)
    if group:
        yield group


def _time(row: OpenRow) -> float:
    return row.time


def _are_equal(one: Any, other: Any) -> bool:
    """Whether two plain values are the same: nothing is lost where one stands for both."""
    if type(one) is not type(other) or not isinstance(one, (float, int, str, bool, type(None))):
        return False
    return one == other or (one != one and other != other)


def _disjoint(one: dict[Any, Any], other: dict[Any, Any]) -> bool:
    """Whether two nested dicts have no leaf in common."""
    return all(
        key not in one
        or (isinstance(one[key], dict) and isinstance(value, dict) and _disjoint(one[key], value))
        for key, value in other.items()
    )


def _joined(under: dict[Any, Any], over: dict[Any, Any]) -> dict[Any, Any]:
    """Both nested dicts in one; where they have a leaf in common, `over` stands."""
    joined = dict(under)
    for key, value in over.items():
        below = joined.get(key)
        joined[key] = _joined(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return joined
