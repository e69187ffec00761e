"""Which samples are given up, where some must be."""

from collections.abc import Callable, MutableSequence, Sequence
from typing import Any

from ..records import Bundle, Kind, Sample
from .open_row import OpenRow, size_of
from .shares import SlotKey, key_of, slot_key


def shed(
    rows: Sequence[OpenRow],
    waiting: Sequence[MutableSequence[Sample]],
    count: int,
    goes: Callable[[Kind, SlotKey, int | None, Any], None],
) -> int:
    """Take up to `count` samples out: the lowest priorities first, of these the earliest rows.

    Args:
        rows: Rows in the making.
        waiting: Samples that wait for a row.
        count: How many to take. The samples of one value (the increments of a total) and of one bundle go
            together, so it may be a few more.
        goes: Is told the kind, key, step and value of what goes, but for bundles.

    Returns:
        How many were taken out.
    """
    holders: list[OpenRow | None] = [*rows, *[None] * len(waiting)]
    queues: list[MutableSequence[Any]] = [*(row.riders for row in rows), *waiting]
    candidates: list[tuple[int, int, int, SlotKey]] = []
    for place, row in enumerate(rows):
        candidates.extend((-slot.priority, place, -1, key) for key, slot in row.slots.items())
    for place, queue in enumerate(queues):
        candidates.extend((-sample.priority, place, index, "") for index, sample in enumerate(queue))
    gone = 0
    taken: dict[int, set[int]] = {}
    for _, place, index, key in sorted(candidates, key=_order):
        if gone >= count:
            break
        holder = holders[place]
        if index >= 0:
            item = queues[place][index]
            samples = size_of(item)
            taken.setdefault(place, set()).add(index)
            if type(item) is not Bundle:
                goes(item.kind, slot_key(item.key, item.source), item.step, item.value)
        elif holder is not None:
            slot = holder.slots[key]
            goes(slot.kind, key, holder.step, slot.value_of(key_of(key)))
            samples = holder.drop(key)
        if holder is not None:
            holder.samples -= samples
        gone += samples
    for place, indices in taken.items():
        queues[place][:] = [sample for index, sample in enumerate(queues[place]) if index not in indices]
    return gone


def _order(candidate: tuple[int, int, int, SlotKey]) -> tuple[int, int, int]:
    return candidate[:3]
