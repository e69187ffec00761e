"""Defines each key of a run on the step axis, once, unless somebody else has defined it on theirs."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ..ledger import Ledger
from .axes import axes_of, defining, watch_definitions
from .run import Run

MANY = 500
"""From more new keys in one row on, a glob defines them."""


class Definitions:
    """What `define_metric` was told of the keys of one run.

    Exact names and no `step_sync`: overlapping globs bind at random, and `step_sync` copies the last step
    seen into rows that lack it. Where a row brings more than `MANY` new keys, and nobody has a glob, one of
    ours stands for all keys of which nobody else says anything: each definition costs as much as writing
    thirty values.

    Args:
        run: The run.
        axis: The axis key.
        step_keys: As of `RunWriter`.
        ledger: Where it is said what W&B refuses.

    Raises:
        wandb.errors.UsageError: the run is finished.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, run: Run, axis: str, step_keys: Collection[str], ledger: Ledger) -> None:
        self._run = run
        self._step_keys = frozenset(step_keys)
        self._ledger = ledger
        self._others = axes_of(run)
        self._version = self._others.version
        self._names: dict[str, str] = {}
        self._keys: dict[str, str] = {}
        self._is_globbed = False
        self._define_axis(axis)
        self.close = watch_definitions()
        """To be called when the run is let go of."""

    def define(self, values: Mapping[str, Any]) -> None:
        """Before a row: define the keys that are new."""
        if self._others.version != self._version:
            self._version = self._others.version
            self._follow()
        if values.keys() <= self._keys.keys() and dict not in map(type, values.values()):
            return
        new = [name for name in _names(values) if name not in self._names]
        if len(new) > MANY and not self._is_globbed and not self._others.has_globs:
            self._is_globbed = self._call(self.axis, "*")
        for name in new:
            theirs = self._others.of(_key(name))
            if self._is_globbed and not self._others.says_anything_of(_key(name)):
                self._names[name] = self.axis
            elif theirs is None or (self._is_globbed and not self._others.names_axis_of(_key(name))):
                self._bind(name, theirs or self.axis)  # by its name, for a glob of ours matches it, too
            else:
                self._names[name] = theirs
        self._keys.update((key, self._names[_name(key)]) for key in values)

    def further_axes(self, values: Mapping[str, Any]) -> list[str]:
        """Step keys that frameworks have made the axis of a key of this row, and that the row lacks."""
        if not self._version:
            return []
        axes = {self._keys.get(key, "") for key in values} & self._step_keys
        return sorted(axes - values.keys())

    def leave_axis(self) -> str:
        """`wandb.log` is given the key of our axis for something else: it is theirs. Returns the new one."""
        theirs, ours = self.axis, f"bridge/{self.axis}"
        self._ledger.say_once(
            "axis",
            repr(theirs),
            f"it is logged with values that are not the training step; {ours!r} is the axis from here on. To "
            "choose another, set step_metric",
        )
        self._define_axis(ours)
        return ours

    def _define_axis(self, axis: str) -> None:
        with defining():
            self._run.define_metric(axis)  # what it raises leaves all as it was
        self.axis = axis
        self._is_globbed = False
        self._names = {_name(axis): ""}
        self._keys = {axis: ""}

    def _follow(self) -> None:
        """Somebody has defined axes meanwhile; by itself, a glob of theirs takes no name back from us."""
        for name, axis in [*self._names.items()]:
            theirs = self._others.of(_key(name))
            if axis == self.axis and theirs is None and self._must_be_said_again(_key(name)):
                self._bind(name, axis)
            if not axis or theirs is None or theirs == axis:
                continue
            if theirs != _key(name) and not self._others.is_named(_key(name)):
                self._bind(name, theirs)
            elif self._others.names_axis_of(_key(name)):
                self._names[name] = theirs
        self._keys = {key: self._names[_name(key)] for key in self._keys}

    def _must_be_said_again(self, key: str) -> bool:
        by_glob_alone = self._is_globbed and self._others.says_anything_of(key)
        return by_glob_alone or bool(self._others.options_of(key))

    def _bind(self, name: str, axis: str) -> None:
        self._names[name] = axis
        if name.startswith("_") or "*" in name:  # W&B's own; a glob would define other keys
            return
        self._call(axis, name, **self._others.options_of(_key(name)))

    def _call(self, axis: str, name: str, **options: Any) -> bool:
        try:
            with defining():
                self._run.define_metric(name, step_metric=axis, step_sync=False, **options)
        except Exception as error:
            self._ledger.say_once("axis", repr(_key(name)), f"W&B refused to define it: {error!r}")
            return False
        return True


def _names(values: Mapping[Any, Any], prefix: str = "") -> Iterator[str]:
    """The names of the metrics in a row; those of nested values have dots."""
    for key, value in values.items():
        name = prefix + _name(str(key))
        yield name
        if isinstance(value, dict) and "_type" not in value:  # no description of a file
            yield from _names(value, f"{name}.")


def _name(key: str) -> str:
    """In W&B's names of metrics, unlike its keys, a dot means nesting unless it is escaped."""
    return key.replace(".", "\\.")


def _key(name: str) -> str:
    return name.replace("\\.", ".")
