"""What travels between the stages: samples on the way in, rows on the way out.

The stages know each other through these records alone. They import the standard library only.
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, final

PLAIN = frozenset((float, int, str, bool, type(None)))
"""Types whose values never change, and which every store takes."""

DEFAULT_PRIORITY = 5
"""Where nothing is said. 0 is the highest priority, 10 the lowest."""


class Kind(enum.Enum):
    """How the samples of one key at one step become one value."""

    VALUE = "value"
    """One stands: the higher priority, then the later measurement."""
    READING = "reading"
    """Like `VALUE`, read off an observable instrument at collection: the next collection reads it again."""
    INCREMENT = "increment"
    """All are added, and the row carries the running total up to and including its step."""
    OBSERVATION = "observation"
    """All are kept: the row carries their `Distribution`."""
    PROGRESS = "progress"
    """No value: the source says which step it has come to."""

    # Members are singletons; Enum's own hash is a Python function, and this is on the way of every sample.
    __hash__ = object.__hash__


class Manner(enum.Enum):
    """How the values of one call go into a row."""

    JOINS = "joins"
    """Each for itself, as any sample: of two values of one key, one stands."""
    RIDES = "rides"
    """All together, in the row of their step where they overwrite nothing there, else in one of their own."""
    STANDS_ALONE = "stands alone"
    """A row of its own, at the step that is current."""

    __hash__ = object.__hash__


class Sample(NamedTuple):
    """One value of one key at one step from one source.

    A tuple and not a dataclass: one is made for every measurement.
    """

    source: str
    step: int | None
    """The training step; None where nobody said (unstepped)."""
    key: str
    value: Any
    priority: int
    time: float
    """When it was measured: seconds since the epoch."""
    kind: Kind = Kind.VALUE

    @property
    def samples(self) -> int:
        """How many it is: as a `Bundle` may be many."""
        return 1

    def value_of(self, key: str) -> Any:
        """The value; a `Bundle` has many."""
        return self.value


@final
class Bundle:
    """The values of one call: as good as a sample for each, which need not be made.

    It stands in for each of its samples where only what they have in common is asked.
    """

    __slots__ = ("manner", "priority", "source", "step", "time", "values")

    kind = Kind.VALUE
    samples = 1

    def __init__(
        self,
        source: str,
        step: int | None,
        values: dict[str, Any],
        priority: int,
        time: float,
        manner: Manner = Manner.JOINS,
    ) -> None:
        self.source = source
        self.step = step
        self.values = values
        self.priority = priority
        self.time = time
        self.manner = manner

    def __iter__(self) -> Iterator[Sample]:
        """The samples that it stands for."""
        for key, value in self.values.items():
            yield Sample(self.source, self.step, key, value, self.priority, self.time)

    def value_of(self, key: str) -> Any:
        """The value of one of the samples."""
        return self.values[key]


@dataclass(frozen=True, slots=True)
class Buckets:
    """Values of which no more is known than how many lie where: those of a histogram data point."""

    intervals: tuple[tuple[float, float, int], ...]
    """From, to (finite; the same for one single value) and how many, by ascending bounds."""
    count: int
    sum: float | None = None
    min: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True)
class Distribution:
    """Every value that a histogram instrument recorded at one step."""

    values: tuple[float | Buckets, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """The merged samples of one step, ready to be committed."""

    step: int | None
    """The exact training step; None in a run that has no steps."""
    values: Mapping[str, Any]
    """Key to value, the highest priority first."""
    time: float
    """The latest measurement in the row: seconds since the epoch."""
    samples: int
    """How many samples the row holds: more than its values where increments or observations were merged."""
    late: bool = False
    """Its step is at or below a row committed before (or leapt ahead of all reason)."""
    totals: Mapping[str, Any] = field(default_factory=dict)
    """Of a late row: what its running totals have come to with it at the newest step, by key."""
    through: int = 0
    """The last release of an entrance that was taken in before the row was made."""
    slots: Mapping[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    """What holds each key: asked where W&B cannot take a value. Empty in a row that comes from a journal."""
