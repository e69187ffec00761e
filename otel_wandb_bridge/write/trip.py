"""Several rows to W&B's service in one trip.

`run.log` has a record of its own sent by W&B's thread, and waits for it: two switches of threads a row, a
wake-up of the service, and with a trainer of pure Python two waits for the interpreter lock. Most of what a
row costs is that. Here W&B makes each record as ever, and what it would have sent one by one is sent by the
same thread one right after the other.

W&B has no public way to do so, hence the private names of `wandb.Run` and of its interface: `_interface`
(before wandb 0.25 `_backend.interface`), `_asyncer`, `_deliver`. `tests/write/test_trip.py` fails by name
should they go. Where they are not there, before wandb 0.22.1, each row is sent by itself.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final

from .run import Run
from .traffic import is_within_theirs

TRIP: Final = 50
"""Rows that W&B's service is sent in one trip at most: nearly all is saved by the first ten."""
TRIP_SAMPLES: Final = 500
"""Who else writes to the run waits for as many: some milliseconds."""

_Send = Callable[[], Awaitable[Any]]


def interface_of(run: Run) -> Any:
    """What a run talks to W&B's service with, if trips can be made with it; else None."""
    interface = getattr(run, "_interface", None) or getattr(getattr(run, "_backend", None), "interface", None)
    attributes = getattr(interface, "__dict__", {})
    can_send = callable(getattr(attributes.get("_asyncer"), "run", None))
    return interface if can_send and callable(getattr(interface, "_deliver", None)) else None


@contextmanager
def in_one_trip(run: Run) -> Iterator[None]:
    """A context in which what `run.log` sends is sent at its end, where W&B lets us."""
    interface = interface_of(run)
    with contextlib.nullcontext() if interface is None else Trip(interface):
        yield


class Trip:
    """A context in which `run.log` of this thread returns before anything is sent; its end sends all of it.

    What other threads send meanwhile goes at once, and so does a question to the service (a run's step, say),
    after what there is to be sent before it. What a finalizer, a signal handler or somebody's wrapper logs in
    the middle of a row goes after it: W&B would drop the row. `run.log` may be called with plain values only:
    media want files to be there when it returns.

    Args:
        interface: What `interface_of` found.

    Raises:
        Exception: at its end, what W&B raises where the service cannot be reached. `arrived` says how much of
            it was sent before.

    Thread-safety: none, and one at a time for each run.
    """

    def __init__(self, interface: Any) -> None:
        self._interface = interface
        self._asyncer = interface._asyncer
        self._thread = threading.get_ident()
        self._waiting: deque[_Send] = deque()
        self._theirs: list[_Send] = []
        self._is_sending = False
        self._made = 0
        self._sent = 0
        self._ends: list[int] = []

    def __enter__(self) -> "Trip":
        self._interface._asyncer = self
        self._interface._deliver = self._deliver
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._interface._asyncer = self._asyncer
        del self._interface._deliver
        self._end()
        self._send()

    def end_row(self) -> None:
        """What was sent since the last time is a row."""
        self._ends.append(self._made)
        self._end()

    @property
    def arrived(self) -> int:
        """How many rows W&B's service was sent, from the first on."""
        return sum(end <= self._sent for end in self._ends)

    def run(self, send: _Send) -> Any:
        """In place of W&B's own, which has its thread call and await `send`."""
        if self._is_sending or threading.get_ident() != self._thread:
            return self._asyncer.run(send)
        if is_within_theirs():
            self._theirs.append(send)
        else:
            self._waiting.append(send)
            self._made += 1
        return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._asyncer, name)

    def _deliver(self, *args: Any, **kwargs: Any) -> Any:
        deliver = type(self._interface)._deliver
        if threading.get_ident() != self._thread:
            return deliver(self._interface, *args, **kwargs)
        self._end()
        self._send()
        self._is_sending = True
        try:
            return deliver(self._interface, *args, **kwargs)
        finally:
            self._is_sending = False

    def _end(self) -> None:
        self._made += len(self._theirs)
        self._waiting.extend(self._theirs)
        self._theirs.clear()

    def _send(self) -> None:
        if not self._waiting:
            return
        try:
            self._asyncer.run(self._send_all)
        except BaseException:
            self._waiting.clear()
            with contextlib.suppress(Exception):
                self._asyncer.run(_nothing)  # interrupted: until the one that is being sent is counted
            raise

    async def _send_all(self) -> None:
        while self._waiting:
            try:
                await self._waiting.popleft()()
            except asyncio.CancelledError:  # in the wait for room, which comes after the sending
                self._sent += 1
                raise
            self._sent += 1


async def _nothing() -> None:
    pass
