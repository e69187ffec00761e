"""A choice for each key, made by patterns. Standard library only."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Generic, TypeVar

T = TypeVar("T")


class ByKey(Generic[T]):
    """What was chosen for a key: by its name, else by the longest pattern that matches it, else the default.

    Args:
        default: For keys that no pattern matches.
        patterns: Pattern to choice. `*` stands for any characters, `?` for one, `[…]` for one of these.

    Thread-safety: safe from any thread; it is never changed.
    """

    def __init__(self, default: T, patterns: Mapping[str, T] | None = None) -> None:
        self.default = default
        self.patterns = dict(patterns or {})

    def of(self, key: str) -> T:
        """The choice for a key. Looks at every pattern: keep the answer where it is asked often."""
        if not self.patterns:
            return self.default
        if key in self.patterns:
            return self.patterns[key]
        matching = [pattern for pattern in self.patterns if fnmatchcase(key, pattern)]
        return self.patterns[max(matching, key=len)] if matching else self.default

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByKey) and (self.default, self.patterns) == (other.default, other.patterns)

    def __hash__(self) -> int:
        return hash(tuple(self.patterns))

    def __repr__(self) -> str:
        return f"ByKey({self.default!r}, {self.patterns!r})"
