"""Short turns: a flush in the background hands the interpreter back to the training thread all the time."""

import time
from collections.abc import Callable

from .uninterrupted import is_for_main

SLICE = 0.0005
"""Seconds of work between two yields. Without one, the interpreter takes a thread off after 5 ms (Python
documentation, `sys.setswitchinterval`), which a training step of 4 ms would feel."""

_FULL_SLICE = 0.005
_BACKLOG = 25_000
"""Samples that wait, for each of which a slice is once as long again: to keep up comes first then."""

_CONTENDED = 0.001
_FEW = 20


class Pacer:
    """Yields the interpreter lock after each slice of work, and notices whether somebody wants it.

    A trainer of pure Python takes the lock for a whole switch interval each time that it is offered; one that
    computes elsewhere (a GPU, NumPy) does not want it, and the yield costs nothing.

    Args:
        clock: Seconds.
        give_way: Lets another thread run.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        give_way: Callable[[], None] = lambda: time.sleep(0),
    ) -> None:
        self._clock = clock
        self._give_way = give_way
        self._is_on = False
        self._turn_ends = 0.0
        self._slice = SLICE
        self._turns = 0
        self._waited = 0.0
        self._began = 0.0

    def begin(self, backlog: int = 0) -> None:
        """A flush begins, of so many samples. In the main thread it is not paced: its caller waits for it."""
        self._is_on = not is_for_main()
        self._turns, self._waited = 0, 0.0
        self._began = self._clock()
        self._slice = min(SLICE * (1 + backlog / _BACKLOG), _FULL_SLICE)
        self._turn_ends = self._began + self._slice

    def tick(self) -> None:
        """After a little piece of work: give way, if the slice is over."""
        if not self._is_on:
            return
        now = self._clock()
        if now < self._turn_ends:
            return
        self._give_way()
        after = self._clock()
        self._turns += 1
        self._waited += after - now
        self._turn_ends = after + self._slice

    @property
    def is_starved(self) -> bool:
        """Whether this flush has gone on for a second, most of it spent waiting for the interpreter lock."""
        return (
            self._turns >= _FEW
            and self._waited >= self._turns * _CONTENDED
            and self._clock() - self._began >= 1.0
        )
