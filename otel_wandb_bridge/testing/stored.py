"""The form in which W&B stores a logged value: JSON, without the detour through text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def as_stored(value: Any) -> Any:
    """Return ``value`` as W&B gives it back: scalars, strings, None, and lists and dicts of them.

    Tuples and sets become lists, keys strings, integers beyond 64 bits floats. NumPy and torch values are
    asked for their ``tolist()``, W&B's own (a histogram) for their ``to_json()``.

    Raises:
        TypeError: the value has no such form.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if type(value) is int:
        return value if -(2**63) <= value < 2**63 else _as_float(value)
    if type(value) is float:
        return value
    if isinstance(value, Mapping):
        return {str(key): as_stored(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_stored(inner) for inner in value]
    if isinstance(value, bytes):
        return value.decode()
    for convert in ("tolist", "to_json"):
        if hasattr(value, convert):
            return as_stored(getattr(value, convert)())
    if isinstance(value, int):
        return as_stored(int(value))
    if isinstance(value, float):
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
