"""Values as they are at one moment, whatever their owner does to them later."""

from typing import Any, NamedTuple

from ..records import PLAIN

_COPYABLE = frozenset(("numpy", "pandas"))


class Unusable(NamedTuple):
    """Stands for a value that cannot be copied."""

    why: str


def taken(value: Any) -> Any:
    """A copy of what can be changed in place, the value itself else, `Unusable` where it cannot be copied."""
    try:
        return copied(value)
    except Exception as error:
        return Unusable(type(error).__name__)


def copied(value: Any) -> Any:
    """A copy of what its owner may change in place: containers, arrays, tensors, frames."""
    if type(value) in PLAIN:
        return value
    if isinstance(value, dict):
        return {key: copied(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [copied(inner) for inner in value]
    if type(value) is tuple:
        return tuple(copied(inner) for inner in value)
    if hasattr(value, "detach") and hasattr(value, "clone"):
        return value.detach().clone()
    if type(value).__module__.partition(".")[0] in _COPYABLE:
        return value.copy()
    return value
