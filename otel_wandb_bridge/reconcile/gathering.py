"""The values of a row where several processes hold shares of one key."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ..records import Distribution, Kind
from ..sources import Source, contributor_of
from .reduction import PER_RANK, Reductions, Share, Statistic, mean_of, number_in, reduced
from .shares import Held, SlotKey, Slots, joined, key_of, order_of

RANKS_KEY = "bridge/ranks"
"""Under it a row says how many ranks contributed, where not all did."""

Note = Callable[[str, str, str], None]
"""Says something once: topic, subject and text, as `Ledger.say_once`."""

Shown = Callable[[SlotKey, Any], Any]
"""What a row says of a counter, given the increment in it: a running total, or that increment."""


class Gathered(NamedTuple):
    """The values of a row."""

    values: dict[str, Any]
    lost: int
    """How many samples of the row have no part in them."""


def gather(slots: Slots, before: Slots, shown: Shown, reductions: Reductions, note: Note) -> Gathered:
    """Make one value, or the declared statistics, of the shares of each key.

    Increments of all processes add up, and observations are united, as OpenTelemetry aggregates them over
    space; declared statistics of a counter are over the running totals of the processes. Numbers are
    reduced. Of all else, the highest priority stands, then the latest measurement.

    Args:
        slots: What is held, in the order of its arrival.
        before: What rows of this step before held.
        shown: The running totals.
        reductions: What is declared.
        note: For what a user should know.
    """
    own = slots
    lost = 0
    by_key: dict[str, list[tuple[SlotKey, Held]]] = {}
    if before:
        slots = joined(before, own)
        lost = sum(slot.samples for at, slot in own.items() if slots[at] is before.get(at))
        by_key = {key_of(at): [] for at in own}
        for at, slot in slots.items():
            if key_of(at) in by_key:
                by_key[key_of(at)].append((at, slot))
    else:
        for at, slot in slots.items():
            key = at if type(at) is str else at[0]
            if key in by_key:
                by_key[key].append((at, slot))
            else:
                by_key[key] = [(at, slot)]
    keys: Iterable[tuple[str, list[tuple[SlotKey, Held]]]] = by_key.items()
    if len({slot.priority for slot in own.values()}) > 1:
        keys = sorted(keys, key=_priority)
    values: dict[str, Any] = {}
    further: dict[str, Any] = {}
    for key, held in keys:
        statistics = reductions.of(key)
        if statistics is None and (spread := _spread(key, held)) is not None:
            values[key] = spread[0]
            if len(spread) > 1:
                further[f"{key}/min"], further[f"{key}/max"] = spread[1:]
            continue
        made, alike = _made(key, held, statistics, slots, shown, note)
        if key in made:
            values[key] = made.pop(key)
        further |= made
        if len(alike) < len(held):
            parts = {at for at, _ in alike}
            lost += sum(slot.samples for at, slot in held if at not in parts and slot is not before.get(at))
    for key, value in further.items():
        values.setdefault(key, value)  # what somebody reports under the key of a statistic of ours stands
    count = _missing_ranks(slots if not before else dict(each for held in by_key.values() for each in held))
    if count is not None:
        values[RANKS_KEY] = count
    return Gathered(values, lost)


def _spread(key: str, held: list[tuple[SlotKey, Held]]) -> tuple[Any, ...] | None:
    """By default, of plain numbers: that of one process alone, else mean, min and max. None of all else."""
    numbers = []
    for _, slot in held:
        if slot.kind is not Kind.VALUE and slot.kind is not Kind.READING:
            return None
        value = slot.value_of(key)
        if type(value) is not float and type(value) is not int:
            return None
        numbers.append(value)
    if len(numbers) == 1:
        return (numbers[0],)
    middle = mean_of(numbers)
    return (middle, min(numbers), max(numbers)) if middle == middle else None


def _made(
    key: str,
    held: list[tuple[SlotKey, Held]],
    statistics: tuple[Statistic, ...] | None,
    slots: Slots,
    shown: Shown,
    note: Note,
) -> tuple[dict[str, Any], list[tuple[SlotKey, Held]]]:
    """The values of a key, and what has a part in them."""
    winner = min((slot for _, slot in held), key=order_of)
    alike = [(at, slot) for at, slot in held if _family(slot) is _family(winner)]
    if winner.kind is Kind.INCREMENT:
        return _totalled(key, alike, shown, statistics), alike
    if winner.kind is Kind.OBSERVATION:
        return _united(key, alike, statistics), alike
    numbers = [number_in(slot.value_of(key)) for _, slot in alike]
    if type(winner.source) is not Source or None in numbers:
        return {key: winner.value_of(key)}, [(at, slot) for at, slot in alike if slot is winner]
    weights = _weights(key, statistics, slots, [at for at, _ in alike], note)
    labels = _labels([slot for _, slot in alike])
    shares = [
        Share(label, number, slot.time, weight)
        for (_, slot), label, number, weight in zip(alike, labels, numbers, weights, strict=True)
        if number is not None
    ]
    return reduced(key, statistics, shares), alike


def _totalled(
    key: str,
    held: list[tuple[SlotKey, Held]],
    shown: Shown,
    statistics: tuple[Statistic, ...] | None,
) -> dict[str, Any]:
    total = shown(key, sum(slot.value_of(key) for _, slot in held))
    if statistics is None:
        return {key: total}
    labels = _labels([slot for _, slot in held])
    shares = [
        Share(label, shown(at, slot.value_of(key)), slot.time)
        for (at, slot), label in zip(held, labels, strict=True)
    ]
    made = reduced(key, statistics, shares)
    # The sum over all processes counts those, too, that added nothing at this step.
    sums = [statistic for statistic in statistics if statistic.name != PER_RANK]
    for place, statistic in enumerate(sums):
        if statistic.name == "sum":
            made[f"{key}/sum" if place else key] = total
    return made


def _united(
    key: str, held: list[tuple[SlotKey, Held]], statistics: tuple[Statistic, ...] | None
) -> dict[str, Any]:
    made = {key: Distribution(tuple(value for _, slot in held for value in slot.value_of(key)))}
    if any(statistic.name == PER_RANK for statistic in statistics or ()):
        for (_, slot), label in zip(held, _labels([slot for _, slot in held]), strict=True):
            if label:
                made[f"{label}/{key}"] = Distribution(tuple(slot.value_of(key)))
    return made


def _weights(
    key: str,
    statistics: tuple[Statistic, ...] | None,
    slots: Slots,
    places: list[SlotKey],
    note: Note,
) -> list[float | None]:
    weight = next((statistic.weight for statistic in statistics or () if statistic.weight), None)
    if weight is None:
        return [None] * len(places)
    weights = []
    for at in places:
        slot = slots.get(weight if isinstance(at, str) else (weight, at[1]))
        weights.append(None if slot is None else number_in(slot.value_of(weight)))
    if None in weights:
        note(
            "reduce",
            f"key {key!r}",
            f"not every process reports its weight {weight!r} at the same step; those without have no part "
            "in the mean (it is the plain one where none has)",
        )
    return weights


def _missing_ranks(slots: Slots) -> int | None:
    """How many ranks contributed, where the job has more."""
    sources = {at[1]: slot.source for at, slot in slots.items() if type(at) is tuple}
    ranks = world_size = 0
    for source in sources.values():
        if type(source) is Source and source.process.rank is not None:
            ranks += 1
            world_size = max(world_size, source.process.world_size or 0)
    return ranks if 0 < ranks < world_size else None


def _labels(held: list[Held]) -> list[str]:
    """What stands for each process in a key: its rank or instance; of several services, the service too."""
    labels = [_label(slot) for slot in held]
    if len(set(labels)) == len(labels):
        return labels
    return [contributor_of(slot.source) or "" for slot in held]


def _label(slot: Held) -> str:
    if type(slot.source) is not Source:
        return ""
    process = slot.source.process
    return process.instance if process.rank is None else f"rank_{process.rank}"


def _family(slot: Held) -> Kind:
    return slot.kind if slot.kind in (Kind.INCREMENT, Kind.OBSERVATION) else Kind.VALUE


def _priority(item: tuple[str, list[tuple[SlotKey, Held]]]) -> int:
    return min(slot.priority for _, slot in item[1])
