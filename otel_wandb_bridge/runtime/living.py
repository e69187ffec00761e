"""The objects of one kind that a process has: known without being kept, unless somebody asks for it."""

import weakref
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Living(Generic[T]):
    """Those that somebody holds on to.

    Thread-safety: safe from any thread.
    """

    def __init__(self) -> None:
        self._all: weakref.WeakSet[T] = weakref.WeakSet()
        self._kept: list[T] | None = None

    def add(self, each: T) -> None:
        """Know of one more."""
        self._all.add(each)
        if self._kept is not None:
            self._kept.append(each)

    def keep(self) -> None:
        """Hold on to all that there are and that will be, to ask them when the program is over."""
        self._kept = list(self._all)

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._all))
