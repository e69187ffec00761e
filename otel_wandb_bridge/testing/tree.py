"""Nested dicts addressed by paths of keys, as W&B addresses what it stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def put(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Set the value at ``path``, replacing whatever on the way there is not a dict."""
    for key in path[:-1]:
        branch = tree.get(key)
        if not isinstance(branch, dict):
            branch = tree[key] = {}
        tree = branch
    tree[path[-1]] = value


def remove(tree: Any, path: Sequence[str]) -> None:
    """Remove what is at ``path``, if anything is."""
    for key in path[:-1]:
        tree = tree.get(key) if isinstance(tree, dict) else None
    if isinstance(tree, dict):
        tree.pop(path[-1], None)


def leaves(tree: Mapping[str, Any], under: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield path and value of all in ``tree`` that is not a mapping; an empty mapping yields nothing."""
    for key, value in tree.items():
        path = (*under, key)
        if isinstance(value, Mapping):
            yield from leaves(value, path)
        else:
            yield path, value
