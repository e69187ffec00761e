"""What waits in the rows in the making."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from ..records import Bundle, Kind, Manner, Sample
from .open_row import SUMMED, OpenRow, keys_of
from .shares import key_of


def waiting_in(
    rows: Iterable[OpenRow], further: Iterable[OpenRow], riders: Iterable[Sample], newest: int | None
) -> Iterator[Sample | Bundle]:
    """What is held by rows, by further rows of a step, and by lone riders, as samples for a new start.

    Increments that were added up are one sample. A value that rides, or that stands in a further row, comes
    back as a `Bundle`, so that it overwrites nothing.
    """
    for row in further:  # before a row of their step is open, with which they would ride
        yield from _held(row) if row.late else _alone(row)
    for row in rows:
        yield from _held(row)
        for rider in row.riders:
            yield _riding(rider, row.step, Manner.RIDES)
    for rider in riders:
        yield _riding(rider, newest, Manner.STANDS_ALONE)


def is_held(keys: Collection[str], rows: Collection[OpenRow], others: Iterable[Sample | Bundle]) -> bool:
    """Whether a value under one of these keys is in a row, rides with one, or is among the others."""
    wanted = frozenset(keys)
    riders = (*others, *(rider for row in rows for rider in row.riders))
    return any(not wanted.isdisjoint(map(key_of, row.slots)) for row in rows) or any(
        not wanted.isdisjoint(keys_of(each)) for each in riders
    )


def _held(row: OpenRow) -> Iterator[Sample]:
    for at, slot in row.slots.items():
        key = key_of(at)
        value = slot.value_of(key)
        for each in value if slot.kind is Kind.OBSERVATION else (value,):
            yield Sample(slot.source, row.step, key, each, slot.priority, slot.time, slot.kind)


def _alone(row: OpenRow) -> Iterator[Sample | Bundle]:
    values: dict[str, Any] = {}
    for sample in _held(row):
        if sample.kind in SUMMED or row.step is None:
            yield sample
        else:
            values[sample.key] = sample.value
    if values:
        priority = min(slot.priority for slot in row.slots.values())
        yield Bundle(row.source, row.step, values, priority, row.time, Manner.STANDS_ALONE)


def _riding(item: Sample | Bundle, step: int | None, manner: Manner) -> Sample | Bundle:
    if type(item) is Bundle:
        return item
    assert type(item) is Sample
    if item.kind in SUMMED or step is None:
        return item._replace(step=step)
    return Bundle(item.source, step, {item.key: item.value}, item.priority, item.time, manner)
