"""What became of reported scalars: the ground truth, and how a run's rows measure up to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeAlias

Report: TypeAlias = Callable[[str, int, dict[str, float]], None]
Scalars: TypeAlias = "Counter[tuple[Any, str, float | str]]"  # step, key, value


@dataclass(frozen=True)
class Passed:
    """One scalar that a component reported."""

    source: str
    step: int
    key: str
    value: float


@dataclass(frozen=True)
class Outcome:
    """Where the passed scalars are: each is `right`, `misplaced` or `lost`."""

    passed: int
    right: int
    misplaced: int
    lost: int


class Recorder:
    """Passes reports on and remembers every scalar. Any thread may report.

    A report that raises is remembered all the same: what the component wanted to say is the truth.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._lock = Lock()
        self._passed: list[Passed] = []
        self._calls = 0

    def __call__(self, source: str, step: int, values: dict[str, float], /) -> None:
        """Remember the values, then report them."""
        with self._lock:
            self._calls += 1
            self._passed.extend(Passed(source, step, key, value) for key, value in values.items())
        self._report(source, step, values)

    @property
    def calls(self) -> int:
        """How many times the components reported."""
        with self._lock:
            return self._calls

    @property
    def passed(self) -> list[Passed]:
        """Every scalar so far."""
        with self._lock:
            return list(self._passed)


def compare(passed: Iterable[Passed], rows: Iterable[Mapping[str, Any]], axis: str) -> Outcome:
    """Look for every passed scalar in the rows, whose training step stands under `axis`.

    A scalar is right when a row of its step has its key with exactly its value, misplaced when only a row of
    another step has. A value in a row answers for one scalar; rows may share a step.
    """
    wanted: Scalars = Counter((scalar.step, scalar.key, _same(scalar.value)) for scalar in passed)
    found: Scalars = Counter(
        (row.get(axis), key, _same(value))
        for row in rows
        for key, value in row.items()
        if key != axis and isinstance(value, (int, float))
    )
    right = (wanted & found).total()
    elsewhere = (_without_step(wanted - found) & _without_step(found - wanted)).total()
    total = wanted.total()
    return Outcome(passed=total, right=right, misplaced=elsewhere, lost=total - right - elsewhere)


def arrivals(
    passed: Iterable[Passed], rows: Iterable[Mapping[str, Any]], axis: str
) -> list[tuple[Passed, bool]]:
    """Each passed scalar, and whether it is at its step; a value in a row answers for one."""
    found: Scalars = Counter(
        (row.get(axis), key, _same(value))
        for row in rows
        for key, value in row.items()
        if key != axis and isinstance(value, (int, float))
    )
    result = []
    for scalar in passed:
        wanted = (scalar.step, scalar.key, _same(scalar.value))
        result.append((scalar, found[wanted] > 0))
        found[wanted] -= 1
    return result


def points(rows: Iterable[Mapping[str, Any]], key: str, axis: str) -> list[tuple[int, float]]:
    """The curve of one key, in the order of its steps."""
    return sorted((int(row[axis]), float(row[key])) for row in rows if key in row and axis in row)


def _same(value: float) -> float | str:
    """Make equal what JSON makes different: 1.0 comes back as 1, which is equal; NaN equals nothing."""
    return "nan" if value != value else value


def _without_step(scalars: Scalars) -> Counter[tuple[str, float | str]]:
    counted: Counter[tuple[str, float | str]] = Counter()
    for (_, key, value), count in scalars.items():
        counted[key, value] += count
    return counted
