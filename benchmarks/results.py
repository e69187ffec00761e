"""What was measured, and the ratios that are made of it."""

import statistics
from dataclasses import dataclass, field
from typing import Any

from .contenders import Contender

IDLE = "idle"
"""The work of a process that starts, reports nothing and finishes."""


@dataclass
class Results:
    """Figures by work and contender, one dict a round."""

    figures: dict[str, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, work: str, contender: str, figures: dict[str, Any]) -> None:
        """One process has ended well."""
        self.figures.setdefault(work, {}).setdefault(contender, []).append(figures)

    def has(self, work: str, *contenders: type[Contender]) -> bool:
        """Whether all of them did the work."""
        return all(contender.__name__ in self.figures.get(work, {}) for contender in contenders)

    def of(self, work: str, contender: type[Contender] | str, figure: str) -> float:
        """The median over the rounds.

        Raises:
            LookupError: it was not measured.
        """
        name = contender if isinstance(contender, str) else contender.__name__
        return statistics.median(each[figure] for each in self.figures[work][name])

    def beyond_idle(self, work: str, contender: type[Contender], figure: str) -> float:
        """The same, less that of a process that reports nothing."""
        return self.of(work, contender, figure) - self.of(IDLE, contender, figure)

    def ratio(self, work: str, one: type[Contender], other: type[Contender], figure: str) -> float:
        """Of two contenders."""
        return self.of(work, one, figure) / self.of(work, other, figure)

    def cpu_ratio(self, work: str, one: type[Contender], other: type[Contender]) -> float:
        """CPU of all processes until everything is durable, start and finish taken off."""
        return self.beyond_idle(work, one, "cpu") / self.beyond_idle(work, other, "cpu")
