"""Samples without a step: each rides on the newest row, and waits a while for one where there is none."""

from collections import deque
from collections.abc import Iterator

from ..records import Kind, Sample
from .open_row import OpenRow


class Riders:
    """Those that wait for a row.

    Args:
        hold: Seconds that they wait at most.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, hold: float) -> None:
        self._hold = hold
        self._waiting: deque[tuple[float, Sample]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Sample]:
        """In the order in which they came."""
        return (sample for _, sample in self._waiting)

    def wait(self, sample: Sample, now: float) -> None:
        """A sample has come, and there is no row for it."""
        self._waiting.append((now, sample))

    def deadline(self) -> float | None:
        """When the first one has waited long enough, in seconds of the injected clock; None: nobody waits."""
        return self._waiting[0][0] + self._hold if self._waiting else None

    def mount(self, row: OpenRow) -> int:
        """All of them ride on a row. Returns how many do not: an observable was read again after them."""
        gone = 0
        for sample in self:
            if sample.kind is Kind.READING:
                gone += row.ride_anew(sample)
            else:
                row.ride(sample)
        self._waiting.clear()
        return gone

    def alone(self, step: int | None) -> list[OpenRow]:
        """All of them are rows of their own, at a step, where there is one."""
        row = OpenRow(step)
        for sample in self:
            row.ride(sample)
        self._waiting.clear()
        seated, further, _ = row.seated(())
        return [seated, *further]

    def keep(self, samples: list[Sample]) -> None:
        """Forget all but these."""
        if len(samples) < len(self._waiting):
            since = self._waiting[0][0]
            self._waiting = deque((since, sample) for sample in samples)
