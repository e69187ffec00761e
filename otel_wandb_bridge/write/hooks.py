"""Functions of W&B that are wrapped for as long as somebody needs it, and put back afterwards."""

import functools
import os
import threading
from collections.abc import Callable
from typing import Any

Around = Callable[..., Any]
"""Called with the function that is wrapped, and the arguments of the call."""

_lock = threading.RLock()
_hooks: "dict[tuple[int, str], Hook]" = {}


class Hook:
    """One function, and what is called around it.

    All who need the same function share one wrapper. With the last of them gone the function is put back
    as it was. Where somebody else has wrapped ours in the meantime, taking it out would take theirs out too:
    ours stays, and does nothing; should it have been thrown out by then, it is put in anew at the next need.

    Thread-safety: safe from any thread.
    """

    def __init__(self, owner: Any, name: str) -> None:
        self._owner = owner
        self._name = name
        self._needs: dict[Around, int] = {}
        self._arounds: list[Around] = []
        self._outermost: Around | None = None
        self._original: Callable[..., Any] | None = None
        self._wrapper: Callable[..., Any] | None = None

    def add(self, around: Around, *, outermost: bool = False) -> Callable[[], None]:
        """Have `around(call, *args, **kwargs)` called in place of the function.

        The latest is called first, after one that is to be the outermost. Added more than once, it is still
        called once, until it was taken off as often.

        Returns:
            A function that takes it off again.
        """
        with _lock:
            self._needs[around] = self._needs.get(around, 0) + 1
            if outermost:
                self._outermost = around
            self._arrange()
            if not self._is_in_place():
                self._put_in()
        return functools.partial(self._take_off, around)

    def _take_off(self, around: Around) -> None:
        with _lock:
            if around not in self._needs:
                return
            self._needs[around] -= 1
            if not self._needs[around]:
                del self._needs[around]
            self._arrange()
            if not self._needs:
                self._put_back()

    def _arrange(self) -> None:
        # A new list each time, for the calls that are under way. A stable sort: the outermost comes last.
        self._arounds = sorted(self._needs, key=lambda around: around is self._outermost)

    def _put_in(self) -> None:
        original = getattr(self._owner, self._name)

        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            call = original
            if self._wrapper is not wrapper:  # left behind in somebody else's wrapper
                return call(*args, **kwargs)
            for around in self._arounds:
                call = functools.partial(around, call)
            return call(*args, **kwargs)

        self._original, self._wrapper = original, wrapper
        setattr(self._owner, self._name, wrapper)

    def _put_back(self) -> None:
        if vars(self._owner).get(self._name) is self._wrapper:
            setattr(self._owner, self._name, self._original)
            self._wrapper = self._original = None

    def _is_in_place(self) -> bool:
        present = getattr(self._owner, self._name, None)
        while present is not None:
            if present is self._wrapper:
                return True
            present = getattr(present, "__wrapped__", None)
        return False


def around(owner: Any, name: str, wrap: Around, *, outermost: bool = False) -> Callable[[], None]:
    """Have `wrap(call, *args, **kwargs)` called in place of `owner.name`; see `Hook`.

    Of a class, it is the method that is wrapped, whether the class defines it or inherits it.

    Returns:
        A function that takes it off again.
    """
    if isinstance(owner, type):
        owner = next(kind for kind in owner.__mro__ if name in vars(kind))
    with _lock:
        hook = _hooks.setdefault((id(owner), name), Hook(owner, name))
        return hook.add(wrap, outermost=outermost)


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()  # a thread that is not there any more may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
