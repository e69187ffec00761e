"""Where calls wait that W&B would get too early: before what came ahead of them is written.

W&B counts on with each call. What waits would be given numbers above its own steps then, and the next
steps of a training loop would be below these, where W&B drops them.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..runtime.uninterrupted import must_stay

_MOST_SECONDS = 60.0


class Gate:
    """The way of one run's calls to W&B itself, closed while somebody is in it.

    Reentrant: a signal handler, or W&B, may log in the middle of what closes it.

    Args:
        step_metric: The axis key of the run's rows.

    Thread-safety: safe from any thread.
    """

    def __init__(self, step_metric: str) -> None:
        self.step_metric = step_metric
        self._lock = threading.RLock()

    @contextmanager
    def passed(self) -> Iterator[bool]:
        """Wait until nobody else is in it, and be in it.

        Within a flush nobody waits, for it may be the very flush that the others wait for; and nobody waits
        for ever.

        Yields:
            Whether it was free.
        """
        is_free = self._lock.acquire(timeout=0 if must_stay() else _MOST_SECONDS)
        try:
            yield is_free
        finally:
            if is_free:
                self._lock.release()
