"""Counts in words."""


def count_of(count: int, one: str, several: str = "") -> str:
    """A count with what it counts: `1 row`, `1,000 rows`.

    Args:
        count: How many.
        one: What is said of one: `row`, `row was late`.
        several: What is said of none and of many; by default `one` with an s.
    """
    return f"{count:,} {one if count == 1 else several or one + 's'}"
