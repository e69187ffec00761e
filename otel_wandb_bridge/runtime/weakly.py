"""Calls that keep nothing alive: for registers that nobody can be taken off again."""

import weakref
from collections.abc import Callable
from typing import Any


def weakly(method: Callable[..., None]) -> Callable[..., None]:
    """The same call without keeping its object alive; once that is gone, it does nothing."""
    weak = weakref.WeakMethod(method)

    def call(*args: Any) -> None:
        alive = weak()
        if alive is not None:
            alive(*args)

    return call
