"""What a misspelt name was meant to be."""

from collections.abc import Callable, Collection, Iterable
from difflib import get_close_matches
from functools import wraps
from inspect import Parameter, signature
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def meant(name: str, known: Collection[str], likeness: float = 0.6) -> str | None:
    """The known name that is most like `name` (1: the same); None where none is like it."""
    close = get_close_matches(name, sorted(known), 1, likeness)
    return close[0] if close else None


def refuse_unknown(who: str, names: Iterable[str], known: Collection[str]) -> None:
    """Refuse the first of the names that is not known, with what it was meant to be.

    Raises:
        TypeError: naming who was given it, the name, and the known one, or all of them.
    """
    for name in names:
        if name not in known:
            close = meant(name, known)
            hint = f"did you mean {close!r}?" if close else f"known are {', '.join(sorted(known))}"
            raise TypeError(f"{who} got an unknown option {name!r}; {hint}")


def options_of(function: Callable[..., Any]) -> list[str]:
    """The names by which a function takes its arguments."""
    return [
        parameter.name
        for parameter in signature(function).parameters.values()
        if parameter.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    ]


def refuses_unknown(init: Callable[Concatenate[T, P], None]) -> Callable[Concatenate[T, P], None]:
    """Have a constructor say of an unknown argument what it was meant to be, as `refuse_unknown` does."""
    known = options_of(init)[1:]

    @wraps(init)
    def checked(self: T, /, *args: P.args, **kwargs: P.kwargs) -> None:
        refuse_unknown(f"{type(self).__name__}()", kwargs, known)
        init(self, *args, **kwargs)

    return checked
