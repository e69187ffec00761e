"""Data points that come again: at least once in, exactly once out."""

from array import array
from bisect import bisect_left
from collections import OrderedDict
from hashlib import blake2b

BOUND = 4_000_000
"""Data points that are remembered; 8 bytes each."""


class Seen:
    """Remembers data points by their content: resource, scope, metric, attributes, times, values, exemplars.

    A sender that got no answer sends the same data points again, and whoever stands in between may have put
    them into other requests by then. A data point that differs in anything is another one.

    Args:
        bound: How many data points are remembered at most; the collections that came first are forgotten
            first.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, bound: int = BOUND) -> None:
        self._bound = bound
        self._points = 0
        self._open: dict[bytes, tuple[int, set[int]]] = {}
        self._closed: OrderedDict[tuple[bytes, int], array[int]] = OrderedDict()

    def __len__(self) -> int:
        """How many data points are remembered."""
        return self._points

    def is_new(self, resource: bytes, time: int, identity: bytes) -> bool:
        """Whether a data point comes for the first time. It is remembered.

        Args:
            resource: The resource, as bytes that stand for it.
            time: The time of the data point.
            identity: Everything else about it.
        """
        digest = int.from_bytes(blake2b(identity, digest_size=8).digest(), "big")
        current = self._open.get(resource)
        if current is not None and current[0] == time:
            if digest in current[1]:
                return False
            current[1].add(digest)
        elif (earlier := self._closed.get((resource, time))) is not None:
            place = bisect_left(earlier, digest)
            if place < len(earlier) and earlier[place] == digest:
                return False
            earlier.insert(place, digest)
        else:
            if current is not None:
                self._closed[resource, current[0]] = array("Q", sorted(current[1]))
            self._open[resource] = (time, {digest})
        self._points += 1
        while self._points > self._bound and self._closed:
            self._points -= len(self._closed.popitem(last=False)[1])
        return True

    def forget(self, resource: bytes) -> None:
        """A sender is gone: its last collection is closed."""
        current = self._open.pop(resource, None)
        if current is not None:
            self._closed[resource, current[0]] = array("Q", sorted(current[1]))
