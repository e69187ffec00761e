"""The bounds: nothing at all, and the least that keeps what it is given."""

import collections
from collections.abc import Callable
from pathlib import Path

from .contender import Contender, Values


class Nothing(Contender):
    """No logging: the trainer alone, or what it takes to measure a call."""

    name = "nothing"
    reads_back = False

    def log(self, values: Values, step: int, source: str) -> None:
        pass

    def component(self, source: str) -> Callable[[Values, int], None]:
        return lambda values, step: None


class Floor(Contender):
    """One `deque.append` a call, of what came as it came."""

    name = "floor: deque.append"
    reads_back = False

    def start(self, directory: Path) -> None:
        self._entries: collections.deque[tuple[Values, int, str]] = collections.deque()

    def log(self, values: Values, step: int, source: str) -> None:
        self._entries.append((values, step, source))

    def component(self, source: str) -> Callable[[Values, int], None]:
        append = self._entries.append
        return lambda values, step: append((values, step, source))
