"""From the identity of a series to the key of its value in a W&B row."""

import hashlib
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from ..ledger import Ledger

_TAKEN = frozenset(("_step", "_runtime", "_timestamp", "_wandb"))

_MEANT = {"step": "step", "global_step": "step", "training_step": "step"} | {
    name: name for name in ("source", "priority")
}
"""By its small letters, what an attribute that means nothing to the bridge was meant to be."""

Naming = Callable[[str, Mapping[str, Any]], str]
"""Takes the metric's name and the attributes of the series (those without a meaning of their own: no step,
source or priority), and returns the key."""


def default_naming(name: str, attributes: Mapping[str, Any]) -> str:
    """OpenTelemetry's dots become W&B's slashes, and attributes a part of the key, sorted by name.

    `http.server.duration` → `http/server/duration`; `loss` with `{"rank": 3}` → `loss/rank_3`. A dot within
    an attribute becomes an underscore, since W&B takes a dot in a key for nesting.
    """
    parts = [name.replace(".", "/")]
    parts += [f"{key}_{value}".replace(".", "_") for key, value in sorted(attributes.items())]
    return "/".join(parts)


def identity_of(attributes: Mapping[str, Any]) -> Hashable:
    """What tells a set of attributes from all others."""
    # With the types: 1, 1.0 and True are equal to Python, but other series to OpenTelemetry.
    typed = tuple(sorted([(key, type(value), value) for key, value in attributes.items()], key=_by_name))
    try:
        hash(typed)
    except TypeError:  # an attribute that is a list or a mapping
        return repr(typed)
    return typed


class UnusableKey(ValueError):
    """W&B takes no such key."""


class Keys:
    """Remembers which series has which key, so that two never share one by accident.

    The same metric name and attributes from two scopes are meant to meet: there, priority decides. Two
    different series that the naming sends to one key are told apart: the later gets a suffix.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, naming: Naming, ledger: Ledger) -> None:
        self._naming = naming
        self._ledger = ledger
        self._keys: dict[Any, str] = {}
        self._owners: dict[str, Any] = {}

    def key(self, name: str, attributes: Mapping[str, Any], suffix: str = "") -> str:
        """The key of a series, or of one of several values of it."""
        identity: Any = (name, identity_of(attributes), suffix)
        known = self._keys.get(identity)
        if known is None:
            known = self._keys[identity] = self._new_key(identity, name, attributes, suffix)
        return known

    def _new_key(self, identity: Any, name: str, attributes: Mapping[str, Any], suffix: str) -> str:
        self._doubt(name, attributes)
        key = self._naming(name, attributes)
        _check(key, name)
        key += suffix
        if self._owners.setdefault(key, identity) == identity:
            return key
        apart = f"{key}~{hashlib.sha256(repr(identity).encode()).hexdigest()[:6]}"
        self._owners[apart] = identity
        self._ledger.say_once(
            "key", repr(key), f"another series has this key; {identity!r} is written as {apart!r}"
        )
        return apart

    def _doubt(self, name: str, attributes: Mapping[str, Any]) -> None:
        for attribute in attributes:
            meant = _MEANT.get(str(attribute).lower())
            if meant is not None:
                self._ledger.say_once(
                    "attribute",
                    f"instrument {name!r}",
                    f"its attribute {attribute!r} becomes a part of the key, one key for each value; did you "
                    f"mean {meant!r}?",
                )


def _check(key: Any, name: str) -> None:
    """W&B refuses, or throws away without a word, what is no key.

    Raises:
        UnusableKey: with the metric's name, what came and what is expected.
    """
    if not isinstance(key, str) or not key:
        raise UnusableKey(f"naming must return a non-empty string for {name!r}; got {key!r}")
    if key in _TAKEN:
        raise UnusableKey(f"W&B sets {key!r} itself; give the metric {name!r} another name, or a naming")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise UnusableKey(f"naming must return text in UTF-8 for {name!r}; got {key!r}") from None


def _by_name(typed: tuple[str, type, Any]) -> str:
    return typed[0]
