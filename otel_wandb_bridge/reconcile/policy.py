"""The rules of reconciling that a user may choose: inert, checked when made."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field

from ..patterns import ByKey
from .reduction import Reductions
from .totals import COUNTERS, TOTALS_ALONE

LATE_POLICIES = ("keep", "merge", "drop")


@dataclass(frozen=True, slots=True)
class Policy:
    """How rows are held, ordered and bounded.

    Attributes:
        late: What happens to a sample at or below the last committed row: `keep` writes it as a row of
            its own with its true step, `merge` folds it into the next row, `drop` counts and discards.
        hold: How long a row that some source has moved past waits for the others, in seconds.
        disorder: How many steps a source may go back without being late.
        max_pending: How many samples wait at most.
        max_step_jump: A step further ahead of all others than this is taken for a mistake (a timestamp).
        gating: The sources that hold rows back; None for all that have reported.
        expected_sources: Sources (their names, or how many) that hold rows back before their first
            report, for at most `hold`. The sources of one rank count as one. None: nobody said; 0: none.
        expected_ranks: How many ranks are waited for likewise.
        awaits_ranks: From the first report of a rank that says how many ranks its service has, all of these
            are waited for likewise.
        reduce: What is written of a key that several processes report at one step.
        counters: By key, what a row says of a counter: its running `total` up to and including the step, or
            the `increment` within it.

    Raises:
        TypeError, ValueError: naming the option, what came and what is expected.
    """

    late: str = "keep"
    hold: float = 10.0
    disorder: int = 0
    max_pending: int = 100_000
    max_step_jump: int = 1_000_000
    gating: frozenset[str] | None = None
    expected_sources: frozenset[str] | int | None = None
    expected_ranks: int = 0
    awaits_ranks: bool = False
    reduce: Reductions = field(default_factory=Reductions)
    counters: ByKey[str] = TOTALS_ALONE

    def __post_init__(self) -> None:
        if self.late not in LATE_POLICIES:
            raise ValueError(f"late must be one of {', '.join(LATE_POLICIES)}; got {self.late!r}")
        number("hold", self.hold, minimum=0.0)
        whole_number("disorder", self.disorder, minimum=0)
        whole_number("max_pending", self.max_pending, minimum=1)
        whole_number("max_step_jump", self.max_step_jump, minimum=1)
        for choice in (self.counters.default, *self.counters.patterns.values()):
            if choice not in COUNTERS:
                raise ValueError(f"counters must be one of {', '.join(COUNTERS)}; got {choice!r}")


def whole_number(option: str, value: object, *, minimum: int) -> int:
    """Return `value`, an int of at least `minimum`.

    Raises:
        TypeError, ValueError: naming the option, what came and what is expected.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{option} must be a whole number, at least {minimum}; got {value!r}")
    if value < minimum:
        raise ValueError(f"{option} must be at least {minimum}; got {value!r}")
    return value


def number(option: str, value: object, *, minimum: float) -> float:
    """Return `value`, a finite number of at least `minimum`.

    Raises:
        TypeError, ValueError: naming the option, what came and what is expected.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{option} must be a number, at least {minimum}; got {value!r}")
    if not math.isfinite(value) or value < minimum:
        raise ValueError(f"{option} must be a finite number, at least {minimum}; got {value!r}")
    return value


def names(option: str, value: Collection[str] | None) -> frozenset[str] | None:
    """Return `value`, a collection of names, frozen.

    Raises:
        TypeError: for a single string or anything that is no collection of strings.
    """
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Collection):
        raise TypeError(f"{option} must be a collection of source names such as {{'trainer'}}; got {value!r}")
    if not all(isinstance(name, str) for name in value):
        raise TypeError(f"{option} must hold source names (strings); got {value!r}")
    return frozenset(value)
