"""The values of a row where several processes hold shares of one key."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from ..records import Distribution, Kind
from ..sources import Source
from .reduction import PER_RANK, Reductions, Share, Statistic, number_in, reduced

RANKS_KEY = "bridge/ranks"
"""Under it a row says how many ranks contributed, where not all did."""

SlotKey = str | tuple[str, str]
"""A key; for a source of a known process, the key and the contributor (`Process.contributor`)."""

Note = Callable[[str, str, str], None]
"""Says something once: topic, subject and text, as `Ledger.say_once`."""


Shown = Callable[[SlotKey, Any], Any]
"""What a row says of a counter, given the increment in it: a running total, or that increment."""


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
        """The latest of them."""

    @property
    def source(self) -> str:
        """Who reported it."""

    @property
    def samples(self) -> int:
        """How many they are."""

    def value_of(self, key: str) -> Any:
        """What the key holds."""


class Gathered(NamedTuple):
    """The values of a row."""

    values: dict[str, Any]
    samples: int
    """How many samples have a part in them."""


def key_of(at: SlotKey) -> str:
    """The key of a `SlotKey`."""
    return at if isinstance(at, str) else at[0]


def slot_key(key: str, source: str) -> SlotKey:
    """Where the values of a key from a source are held."""
    return (key, source.process.contributor) if type(source) is Source else key


def total_keys(at: SlotKey) -> Iterable[SlotKey]:
    """The running totals that an increment adds to: that of the key, and the process's own."""
    return (at,) if isinstance(at, str) else (at[0], at)


def standing(key: str, slots: Mapping[SlotKey, Held]) -> Held | None:
    """What stands under a key, of shares that are no numbers: the highest priority, then the latest."""
    held = [slot for at, slot in slots.items() if key_of(at) == key]
    return min(held, key=_rank) if held else None


def gather(
    slots: Mapping[SlotKey, Held], keys: Collection[str], shown: Shown, reductions: Reductions, note: Note
) -> Gathered:
    """Make one value, or the declared statistics, of the shares of each key.

    Increments of all processes add up, and observations are united, as OpenTelemetry aggregates them over
    space; declared statistics of a counter are over the running totals of the processes. Numbers are
    reduced. Of all else, the highest priority stands, then the latest measurement.

    Args:
        slots: What is held, in the order of its arrival.
        keys: Those that are written.
        shown: The running totals.
        reductions: What is declared.
        note: For what a user should know.
    """
    by_key: dict[str, list[tuple[SlotKey, Held]]] = {}
    priorities: set[int] = set()
    for at, slot in slots.items():
        key = at if type(at) is str else at[0]
        if key in keys:
            by_key.setdefault(key, []).append((at, slot))
            priorities.add(slot.priority)
    values: dict[str, Any] = {}
    further: dict[str, Any] = {}
    samples = 0
    in_order = sorted(by_key.items(), key=_priority) if len(priorities) > 1 else by_key.items()
    for key, held in in_order:
        if len(held) == 1:
            # What most keys are: a number from one process, of which nothing is declared.
            (_, only) = held[0]
            if only.kind is Kind.VALUE and reductions.of(key) is None:
                value = only.value_of(key)
                if type(value) in (float, int):
                    values[key] = value
                    samples += only.samples
                    continue
        winner = min((slot for _, slot in held), key=_rank)
        alike = [(at, slot) for at, slot in held if _family(slot) is _family(winner)]
        numbers = [number_in(slot.value_of(key)) for _, slot in alike]
        statistics = reductions.of(key)
        if winner.kind is Kind.INCREMENT:
            made = _totalled(key, alike, shown, statistics)
        elif winner.kind is Kind.OBSERVATION:
            made = _united(key, alike, statistics)
        elif type(winner.source) is Source and None not in numbers:
            weights = _weights(key, statistics, slots, [at for at, _ in alike], note)
            made = reduced(
                key,
                statistics,
                [
                    Share(_label(slot), number, slot.time, weight)
                    for (_, slot), number, weight in zip(alike, numbers, weights, strict=True)
                    if number is not None
                ],
            )
        else:
            alike = [(at, slot) for at, slot in alike if slot is winner]
            made = {key: winner.value_of(key)}
        samples += sum(slot.samples for _, slot in alike)
        if key in made:
            values[key] = made.pop(key)
        further |= made
    # What somebody reports under the key of a statistic of ours stands.
    values = {**values, **{key: value for key, value in further.items() if key not in values}}
    count = _missing_ranks(slot for held in by_key.values() for _, slot in held)
    if count is not None:
        values[RANKS_KEY] = count
    return Gathered(values, samples)


def _totalled(
    key: str,
    held: list[tuple[SlotKey, Held]],
    shown: Shown,
    statistics: tuple[Statistic, ...] | None,
) -> dict[str, Any]:
    total = shown(key, sum(slot.value_of(key) for _, slot in held))
    if statistics is None:
        return {key: total}
    shares = [Share(_label(slot), shown(at, slot.value_of(key)), slot.time) for at, slot in held]
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
        for _, slot in held:
            if _label(slot):
                made[f"{_label(slot)}/{key}"] = Distribution(tuple(slot.value_of(key)))
    return made


def _weights(
    key: str,
    statistics: tuple[Statistic, ...] | None,
    slots: Mapping[SlotKey, Held],
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


def _missing_ranks(held: Iterable[Held]) -> int | None:
    """How many ranks contributed, where the job has more."""
    ranks, world_size = set(), 0
    for slot in held:
        if type(slot.source) is Source and slot.source.process.rank is not None:
            ranks.add(slot.source.process.contributor)
            world_size = max(world_size, slot.source.process.world_size or 0)
    return len(ranks) if ranks and len(ranks) < world_size else None


def _label(slot: Held) -> str:
    if type(slot.source) is not Source:
        return ""
    process = slot.source.process
    return process.instance if process.rank is None else f"rank_{process.rank}"


def _family(slot: Held) -> Kind:
    return slot.kind if slot.kind in (Kind.INCREMENT, Kind.OBSERVATION) else Kind.VALUE


def _rank(slot: Held) -> tuple[int, float]:
    return slot.priority, -slot.time


def _priority(item: tuple[str, list[tuple[SlotKey, Held]]]) -> int:
    return min(slot.priority for _, slot in item[1])
