"""Which samples are given up, where some must be."""

from collections.abc import Sequence

from .open_row import OpenRow


def shed(rows: Sequence[OpenRow], count: int) -> int:
    """Take up to `count` samples out of rows: the lowest priorities first, of these the earliest rows.

    The samples of one value (the increments of a total) go together, so it may be a few more.

    Returns:
        How many were taken out.
    """
    by_priority = sorted(
        (-slot.priority, place, key) for place, row in enumerate(rows) for key, slot in row.slots.items()
    )
    gone = 0
    for _, place, key in by_priority:
        if gone >= count:
            return gone
        samples = rows[place].slots.pop(key).samples
        rows[place].samples -= samples
        gone += samples
    for row in rows:
        while row.riders and gone < count:
            del row.riders[0]
            row.samples -= 1
            gone += 1
    return gone
