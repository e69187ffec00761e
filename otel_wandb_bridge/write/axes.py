"""Which keys of a run have an axis that somebody else has defined: a framework, or the user.

W&B binds a key to the axis that was defined for it last and by name; a definition of ours would take it away
from `define_metric("*", step_metric="train/global_step")`. Python keeps no record of the definitions, so the
calls are watched: `Run._define_metric`, in which `wandb.define_metric`, `run.define_metric` and bound methods
saved before all end. It is private, and the public ones are captured too early to be wrapped
(`tests/write/test_axes.py` fails by name should it go).
"""

import inspect
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from wandb import wandb_run

from .hooks import around
from .run import Run

_axes: "weakref.WeakKeyDictionary[Run, Axes]" = weakref.WeakKeyDictionary()
_defining: set[int] = set()
_PARAMETERS = [*inspect.signature(wandb_run.Run._define_metric).parameters][1:]
_OPTIONS = ("summary", "hidden")


class Axes:
    """The definitions of one run that are not ours.

    Thread-safety: safe from any thread.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._globs: dict[str, str] = {}
        self._named: set[str] = set()
        self._options: dict[str, dict[str, Any]] = {}
        self.version = 0
        """Counts the definitions."""

    def note(self, name: str, step_metric: str | None, **options: Any) -> None:
        """A definition has come; `options` are what it says besides the axis (`summary`, `hidden`, ...)."""
        stem, star, _ = name.partition("*")
        key = stem.replace("\\.", ".")
        if not star:
            self._named.add(key)
        if step_metric:
            (self._globs if star else self._names)[key] = step_metric
        if star and options:
            self._options[key] = options
        if step_metric or options:
            self.version += 1

    def says_anything_of(self, key: str) -> bool:
        """Whether a definition names the key, or a glob matches it."""
        stems = (*tuple(self._globs), *tuple(self._options))
        return key in self._named or any(key.startswith(stem) for stem in stems)

    @property
    def has_globs(self) -> bool:
        """Whether there is a glob, for whatever."""
        return bool(self._globs or self._options)

    def options_of(self, key: str) -> dict[str, Any]:
        """What a glob says of a key besides the axis: a definition by name is to say it again."""
        stems = [stem for stem in tuple(self._options) if key.startswith(stem)]
        return {} if key in self._named or not stems else self._options[max(stems, key=len)]

    def is_named(self, key: str) -> bool:
        """Whether a definition names the key: no glob binds it then."""
        return key in self._named

    def names_axis_of(self, key: str) -> bool:
        """Whether a definition names the key, and an axis for it."""
        return key in self._names

    def of(self, key: str) -> str | None:
        """The axis of a key: defined by its name, else by the longest glob that matches; None: by nobody."""
        if key in self._names:
            return self._names[key]
        stems = [stem for stem in tuple(self._globs) if key.startswith(stem)]
        return self._globs[max(stems, key=len)] if stems else None


def axes_of(run: Run) -> Axes:
    """What is known of a run: its definitions since somebody watches."""
    axes = _axes.get(run)
    if axes is None:
        axes = _axes[run] = Axes()
    return axes


@contextmanager
def defining() -> Iterator[None]:
    """What is defined inside is ours."""
    thread = threading.get_ident()
    _defining.add(thread)
    try:
        yield
    finally:
        _defining.discard(thread)


def watch_definitions() -> Callable[[], None]:
    """Note the definitions of all runs from now on. Returns a function that ends it."""
    return around(wandb_run.Run, "_define_metric", _note_and_define)


def _note_and_define(call: Callable[..., Any], run: Run, *args: Any, **kwargs: Any) -> Any:
    defined = call(run, *args, **kwargs)
    if threading.get_ident() not in _defining:
        given = {**dict(zip(_PARAMETERS, args, strict=False)), **kwargs}
        step_metric = given.get("step_metric")
        options = {name: given[name] for name in _OPTIONS if given.get(name) is not None}
        axes_of(run).note(str(given.get("name")), getattr(step_metric, "name", step_metric), **options)
    return defined
