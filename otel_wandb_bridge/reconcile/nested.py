"""Nested values: a dict in a row is merged leaf by leaf, as W&B does."""

from typing import Any


def are_disjoint(one: dict[Any, Any], other: dict[Any, Any]) -> bool:
    """Whether two nested dicts have no leaf in common."""
    return all(
        key not in one
        or (isinstance(one[key], dict) and isinstance(value, dict) and are_disjoint(one[key], value))
        for key, value in other.items()
    )


def joined(under: dict[Any, Any], over: dict[Any, Any]) -> dict[Any, Any]:
    """Both nested dicts in one; where they have a leaf in common, `over` stands."""
    both = dict(under)
    for key, value in over.items():
        below = both.get(key)
        both[key] = joined(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return both
