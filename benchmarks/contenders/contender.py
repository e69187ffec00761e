"""What every contender can do."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

Values = dict[str, float]


class Scalar(NamedTuple):
    """One value that is in the result."""

    step: int
    key: str
    value: float


class Contender:
    """One way to report metrics, used as its own documentation says.

    Thread-safety: `log` may be called from several threads.
    """

    name: ClassVar[str]
    reads_back = True
    """Whether the result can be looked at: which scalars are at which step."""

    rounds: ClassVar[int] = 100
    """In how many rounds at most: some take their time."""

    def start(self, directory: Path) -> None:
        """Set up, with all files in `directory`."""

    def begin_step(self, step: int) -> None:
        """The trainer comes to a step; its cost is a part of that of the step."""

    def log(self, values: Values, step: int, source: str) -> None:
        """One component reports its scalars of one step."""
        raise NotImplementedError

    def component(self, source: str) -> Callable[[Values, int], None]:
        """What a component calls each step: as few calls around the contender's own as can be."""
        log = self.log
        return lambda values, step: log(values, step, source)

    def finish(self) -> None:
        """Return when everything is durable."""

    def counts(self) -> dict[str, Any]:
        """What it counts itself, after `finish`: `calls` of `run.log`, say."""
        return {}

    def backlog(self) -> int:
        """How many scalars wait."""
        return 0

    @classmethod
    def read(cls, directory: Path) -> Iterator[Scalar]:
        """What is in the result; called in another process."""
        raise NotImplementedError
