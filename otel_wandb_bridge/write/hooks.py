"""Functions of W&B that are wrapped for as long as somebody needs it, and put back afterwards."""

import functools
import os
import threading
from collections.abc import Callable
from typing import Any

Around = Callable[..., Any]
"""Called with the function that is wrapped, and the arguments of the call."""

_MOST_LOOKED_AT = 200
_lock = threading.RLock()
_hooks: "dict[tuple[int, str], Hook]" = globals().get("_hooks", {})  # also after a reload


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
        self._call: Callable[..., Any] | None = None
        """The original, with all arounds around it."""
        self._outermost: Around | None = None
        self._original: Callable[..., Any] | None = None
        self.wrapper: Callable[..., Any] | None = None
        """What stands in place of the function; None while it stands there itself."""
        self._above: Any = None

    def is_on_top(self) -> bool:
        """Whether the function that is called is our wrapper; it is put in anew where it was thrown out."""
        if getattr(self._owner, self._name) is not self.wrapper:
            with _lock:
                if self._needs and not self._is_in_place():
                    self._put_in()
        return getattr(self._owner, self._name) is self.wrapper

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
        is_on = [True]

        def take_off() -> None:
            with _lock:
                if is_on:
                    is_on.clear()
                    self._take_off(around)

        return take_off

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
        # Put together once, not at each call. A stable sort: the outermost comes last.
        call = self._original
        for around in sorted(self._needs, key=lambda around: around is self._outermost):
            call = None if call is None else functools.partial(around, call)
        self._call = call

    def _put_in(self) -> None:
        original = getattr(self._owner, self._name)

        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            call = self._call
            if self.wrapper is not wrapper or call is None:  # left behind in somebody else's wrapper
                call = original
            return call(*args, **kwargs)

        self._original, self.wrapper, self._above = original, wrapper, None
        self._arrange()
        setattr(self._owner, self._name, wrapper)

    def _put_back(self) -> None:
        if vars(self._owner).get(self._name) is self.wrapper:
            setattr(self._owner, self._name, self._original)
            self.wrapper = self._original = self._above = self._call = None

    def _is_in_place(self) -> bool:
        present = getattr(self._owner, self._name, None)
        if present is self.wrapper or present is self._above:
            return present is not None
        if self.wrapper is None or not _leads_to(present, self.wrapper):
            return False
        self._above = present
        return True


def _leads_to(function: Any, wanted: Any) -> bool:
    """Whether a function holds another in the ways that wrappers do."""
    left, seen = [function], set[int]()
    while left and len(seen) < _MOST_LOOKED_AT:
        each = left.pop(0)
        if each is wanted:
            return True
        if id(each) in seen or not (callable(each) or isinstance(each, functools.partialmethod)):
            continue
        seen.add(id(each))
        left += [getattr(each, name, None) for name in ("__wrapped__", "__func__", "func")]
        left += [cell.cell_contents for cell in getattr(each, "__closure__", None) or () if _is_full(cell)]
        left += getattr(each, "__defaults__", None) or ()
        left += (getattr(each, "__kwdefaults__", None) or {}).values()
        names = getattr(getattr(each, "__code__", None), "co_names", ())
        left += [getattr(each, "__globals__", {}).get(name) for name in names]
    return False


def _is_full(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def around(owner: Any, name: str, wrap: Around, *, outermost: bool = False) -> Callable[[], None]:
    """Have `wrap(call, *args, **kwargs)` called in place of `owner.name`; see `Hook`.

    Of a class, it is the method that is wrapped, whether the class defines it or inherits it.

    Returns:
        A function that takes it off again.
    """
    return hook_of(owner, name).add(wrap, outermost=outermost)


def hook_of(owner: Any, name: str) -> Hook:
    """The hook of a function, whether or not anybody needs it."""
    if isinstance(owner, type):
        owner = next(kind for kind in owner.__mro__ if name in vars(kind))
    with _lock:
        return _hooks.setdefault((id(owner), name), Hook(owner, name))


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()  # a thread that is not there any more may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
