"""What the rows of a run say about its steps: pure, rows in and facts out."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..plural import count_of

OWN_KEYS = frozenset(("_step", "_timestamp", "_runtime", "_wandb"))
"""What W&B adds to each row by itself."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """One way in which rows are not one a step, in rising order.

    Attributes:
        kind: A few constant words: `w&b order`, `no axis`, `late`, `repeated`, `twice`; of a stored run also
            `unfinished`, `no rows`, `thrown away`.
        count: How many rows (of `twice`: how many values; of `thrown away`: how many calls) it concerns; 1 of
            the run as a whole.
        text: What was found, with the first examples.
    """

    kind: str
    count: int
    text: str


@dataclass(frozen=True, slots=True)
class Curve:
    """One key of a run.

    Attributes:
        key: Its name; that of a nested value has dots.
        points: Step on the axis and value of every row that has the key, in the order of the steps.
    """

    key: str
    points: Sequence[tuple[float, Any]]

    @property
    def numbers(self) -> list[tuple[float, float]]:
        """The points whose value can be drawn: finite numbers."""
        return [
            (step, float(value))
            for step, value in self.points
            if isinstance(value, (int, float)) and value == value and abs(value) != float("inf")
        ]


class History:
    """The rows of one run, seen along a step axis.

    Args:
        rows: In the order in which they were written, as `testing.read_rows` gives them.
        axis: The key under which a row says its step.

    Thread-safety: immutable.
    """

    def __init__(self, rows: Sequence[Row], axis: str) -> None:
        self.rows = rows
        self.axis = axis

    @cached_property
    def steps(self) -> list[float]:
        """The distinct steps on the axis, rising."""
        return sorted({step for step in map(self._step_of, self.rows) if step is not None})

    @cached_property
    def stride(self) -> float:
        """The distance between two steps that is most common (1 where there is none)."""
        distances = Counter(b - a for a, b in zip(self.steps, self.steps[1:], strict=False))
        return min((-count, distance) for distance, count in distances.items())[1] if distances else 1

    @cached_property
    def gaps(self) -> list[tuple[float, float]]:
        """Ranges of steps (first and last, inclusive) missing between the first step and the last."""
        stride = self.stride
        return [
            (before + stride, after - stride if (after - before) % stride == 0 else after - 1)
            for before, after in zip(self.steps, self.steps[1:], strict=False)
            if after - before > stride
        ]

    @property
    def missing(self) -> int:
        """How many steps are missing between the first and the last, at the most common distance."""
        return int(sum((last - first) // self.stride + 1 for first, last in self.gaps))

    @cached_property
    def late(self) -> list[Row]:
        """The rows whose step is below that of a row written before."""
        late, highest = [], float("-inf")
        for row in self.rows:
            step = self._step_of(row)
            if step is None:
                continue
            if step < highest:
                late.append(row)
            highest = max(highest, step)
        return late

    @cached_property
    def repeated(self) -> dict[float, int]:
        """Steps that more than one row has, with the number of their rows."""
        counts = Counter(step for step in map(self._step_of, self.rows) if step is not None)
        return {step: count for step, count in counts.items() if count > 1}

    @cached_property
    def twice(self) -> dict[tuple[float, str], int]:
        """Step and key of values that more than one row has, with the number of their rows."""
        counts: Counter[tuple[float, str]] = Counter()
        for row in self.rows:
            step = self._step_of(row)
            if step is not None and step in self.repeated:
                counts.update((step, key) for key, _ in _leaves(row) if self._is_payload(key))
        return {which: count for which, count in counts.items() if count > 1}

    @cached_property
    def without_axis(self) -> list[Row]:
        """The rows that do not say their step."""
        return [row for row in self.rows if self._step_of(row) is None]

    @cached_property
    def out_of_wandb_order(self) -> list[Row]:
        """The rows whose `_step` is not above that of the row before."""
        return [
            after
            for before, after in zip(self.rows, self.rows[1:], strict=False)
            if after.get("_step", 0) <= before.get("_step", 0)
        ]

    @cached_property
    def curves(self) -> list[Curve]:
        """Every key with its points, by key (`loss_2` before `loss_10`); rows `without_axis` have none."""
        points: dict[str, list[tuple[float, Any]]] = {}
        for row in self.rows:
            step = self._step_of(row)
            if step is None:
                continue
            for key, value in _leaves(row):
                if self._is_payload(key):
                    points.setdefault(key, []).append((step, value))
        return [Curve(key, sorted(points[key], key=_first)) for key in sorted(points, key=_naturally)]

    def problems(self, *, late_is_fine: bool = False) -> list[Problem]:
        """Whatever is not one row a step, in rising order, by the rows alone; see also `StoredRun.problems`.

        Args:
            late_is_fine: A step may be in more than one row, and a row may come after those of higher steps
                (late samples under the policy `keep`, calls without a step), as long as no key is in two
                rows of one step.
        """
        found = [
            ("w&b order", self.out_of_wandb_order, "row does", "rows do", "not rise in W&B's own _step"),
            ("no axis", self.without_axis, "row has", "rows have", f"no {self.axis}"),
        ]
        if not late_is_fine:
            found.append(("late", self.late, "row", "rows", f"came after a row of a higher {self.axis}"))
        problems = [
            _problem(kind, len(rows), one, several, text, map(self._name, rows))
            for kind, rows, one, several, text in found
            if rows
        ]
        if self.repeated and not late_is_fine:
            one, several, text = (
                f"step of {self.axis} is",
                f"steps of {self.axis} are",
                "in more than one row",
            )
            which = map(_plain, self.repeated)
            problems.append(_problem("repeated", len(self.repeated), one, several, text, which))
        if self.twice:
            named = (f"{key} at {_plain(step)}" for step, key in self.twice)
            text = "in two rows of one step"
            problems.append(_problem("twice", len(self.twice), "value is", "values are", text, named))
        return problems

    def _step_of(self, row: Row) -> float | None:
        step = row.get(self.axis)
        return step if isinstance(step, (int, float)) and step == step else None

    def _name(self, row: Row) -> str:
        step = self._step_of(row)
        return f"_step {row.get('_step')}" if step is None else _plain(step)

    def _is_payload(self, key: str) -> bool:
        return key not in OWN_KEYS and key != self.axis


def ranges(gaps: Sequence[tuple[float, float]], most: int = 5) -> str:
    """Ranges of steps in words, such as `7, 9-12`."""
    return _examples((_plain(a) if a == b else f"{_plain(a)}-{_plain(b)}" for a, b in gaps), most)


def _leaves(row: Row, path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, Mapping) and "_type" not in value:  # no description of a file
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield path + key, value


def _problem(kind: str, count: int, one: str, several: str, text: str, examples: Iterator[str]) -> Problem:
    return Problem(kind, count, f"{count_of(count, one, several)} {text}: {_examples(examples)}")


def _examples(texts: Iterator[str], most: int = 5) -> str:
    shown = list(texts)
    return ", ".join(shown[:most]) + (", …" if len(shown) > most else "")


def _plain(step: float) -> str:
    return str(int(step)) if step == int(step) else str(step)


def _naturally(key: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", key)]


def _first(point: tuple[float, Any]) -> float:
    return point[0]
