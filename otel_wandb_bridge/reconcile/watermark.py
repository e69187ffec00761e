"""The watermark: the step up to which (inclusive) every gating source is done.

Progress is kept per source and combined in one place. Pure: time is an argument.
"""

from collections import Counter, deque
from collections.abc import Iterable

from ..sources import contributor_of, is_among, name_of, rank_of, ranks_of, service_of
from .policy import Policy


class Progress:
    """How far one source has come."""

    __slots__ = ("highest", "last")

    def __init__(self, step: int) -> None:
        self.highest = step
        """The highest step that it has reported."""
        self.last = step
        """The step that it reported last."""

    def report(self, step: int) -> int:
        """Take a report. Returns how many steps it is ahead of the last one."""
        distance = step - self.last
        self.last = step
        if step > self.highest:
            self.highest = step
        return distance


class Watermark:
    """Combines the progress of all sources.

    A source that has reported step *s* is done with the steps below *s* less the allowed disorder. The
    watermark is the minimum over the gating sources, and never goes back. A source gates only while it is
    ahead of the watermark: one that was overtaken (dead, sparse, late to start) stops gating until it
    reports a step above it, so it can delay a row by `hold` once and never block it.

    The countdown of `hold` for step *s* starts when the first source, gating or not, moves past *s*.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._sources: dict[str, Progress] = {}
        self._step: int | None = None
        self._front: int | None = None
        self._passed: deque[tuple[float, int]] = deque()
        self._ranks: dict[str, int] = {}
        self._awaits = bool(policy.expected_sources or policy.expected_ranks)

    @property
    def step(self) -> int | None:
        """The watermark, inclusive; None before the first row is done."""
        return self._step

    @property
    def sources(self) -> dict[str, Progress]:
        """Progress by source; read it, do not change it."""
        return self._sources

    def without_leaps(self, highest: int) -> "Watermark":
        """A new one, from the beginning, with the sources that have not come further than `highest`."""
        again = Watermark(self._policy)
        for source, progress in self._sources.items():
            if progress.highest <= highest:
                again.meet(source, progress)
        return again

    def meet(self, source: str, progress: Progress) -> None:
        """A source reports for the first time."""
        self._sources[source] = progress
        ranks, service = ranks_of(source), service_of(source)
        if self._policy.awaits_ranks and ranks > self._ranks.get(service, 0):
            self._ranks[service] = ranks
            self._awaits = True

    @property
    def ranks(self) -> int:
        """How many ranks have reported."""
        return len({contributor_of(source) for source in self._sources if rank_of(source) is not None})

    def reach(self, step: int) -> None:
        """Advance to `step` whatever the sources say: a row was committed, or its hold is over."""
        self._awaits = False
        self.start_at(step)

    def start_at(self, step: int) -> None:
        """Advance to `step`, up to which the run had rows before; who is expected is still expected."""
        if self._step is None or step > self._step:
            self._step = step

    def note_what_was_passed(self, now: float) -> None:
        """After reports: start the countdown of `hold` for the steps that some source has moved past."""
        if not self._sources:
            return
        front = max(progress.highest for progress in self._sources.values()) - 1 - self._policy.disorder
        if self._front is None or front > self._front:
            self._front = front
            self._passed.append((now, front))

    def advance(self, now: float) -> None:
        """Combine what the sources have reported, and end the holds that are over at `now`."""
        done = self._done()
        if done is not None:
            self.start_at(done)
        while self._passed and self._passed[0][0] + self._policy.hold <= now:
            self.reach(self._passed.popleft()[1])

    def deadline(self) -> float | None:
        """When the next hold is over (seconds of the injected clock), if a row may be waiting for it."""
        while self._passed and self._step is not None and self._passed[0][1] <= self._step:
            self._passed.popleft()
        return self._passed[0][0] + self._policy.hold if self._passed else None

    def _done(self) -> int | None:
        if self._awaits:
            self._awaits = self._is_somebody_missing()
            if self._awaits:
                return None
        ahead = [
            progress.highest
            for progress in self._gating()
            if self._step is None or progress.highest > self._step
        ]
        return min(ahead) - 1 - self._policy.disorder if ahead else None

    def _gating(self) -> Iterable[Progress]:
        if self._policy.gating is None:
            return self._sources.values()
        return [
            progress for source, progress in self._sources.items() if is_among(source, self._policy.gating)
        ]

    def _is_somebody_missing(self) -> bool:
        if self._is_a_rank_missing():
            return True
        if self.ranks < self._policy.expected_ranks:
            return True
        expected = self._policy.expected_sources or 0
        if isinstance(expected, int):
            return len(set(map(_reporter, self._sources))) < expected
        here = {*self._sources, *map(name_of, self._sources)}
        return not here.issuperset(expected)

    def _is_a_rank_missing(self) -> bool:
        of_ranks = {contributor_of(each): each for each in self._sources if rank_of(each) is not None}
        there = Counter(map(service_of, of_ranks.values()))
        return any(there[service] < ranks for service, ranks in self._ranks.items())


def _reporter(source: str) -> str:
    return contributor_of(source) or source
