"""`run.step` and `run.summary`, as if each call had been written at once.

A script that reads them, or writes into its summary under a key that it also logs, must not see that calls
wait: the count of steps is W&B's own after all calls so far, and what waits under a key of the summary is
written before the key is looked at.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from wandb import wandb_run
from wandb.sdk.wandb_summary import Summary

from ..write.hooks import around
from ..write.run import is_asking, is_disabled, is_shared
from .route import Route
from .routes import ROUTES

_by_run = ROUTES.by_run


def show_what_waits() -> list[Callable[[], None]]:
    """Have all runs show it from now on. Returns the functions that end it."""
    return [
        _replace_step(),
        around(Summary, "update", _update),
        *(around(Summary, name, _remove) for name in ("__delitem__", "__delattr__")),
        *(around(Summary, name, _read) for name in ("__getitem__", "__getattr__", "get")),
        around(Summary, "keys", _read_all),
    ]


def _replace_step() -> Callable[[], None]:
    kind: Any = wandb_run.Run
    original = vars(kind)["step"]

    def step(run: Any) -> Any:
        route = _by_run.get(run)
        if route is None or route.is_closed or is_asking() or is_disabled(run) or is_shared(run):
            return original.fget(run)
        return route.step()

    ours = property(step, original.fset, original.fdel, original.__doc__)
    kind.step = ours

    def put_back() -> None:
        if vars(kind).get("step") is ours:
            kind.step = original

    return put_back


def _update(call: Callable[..., Any], summary: Any, *args: Any, **kwargs: Any) -> Any:
    given = args[0] if args else kwargs.get("d")
    if isinstance(given, Mapping):
        _write_what_waits(summary, given.keys(), is_set=True)
    return call(summary, *args, **kwargs)


def _remove(call: Callable[..., Any], summary: Any, key: Any) -> Any:
    _write_what_waits(summary, (key,), is_set=True)
    return call(summary, key)


def _read(call: Callable[..., Any], summary: Any, key: Any, *default: Any, **more: Any) -> Any:
    _write_what_waits(summary, (key,), is_set=False)
    return call(summary, key, *default, **more)


def _read_all(call: Callable[..., Any], summary: Any) -> Any:
    route = _route_of(summary)
    if route is not None:
        route.exporter.committing.write_before_summary(None, is_set=False)
    return call(summary)


def _write_what_waits(summary: Any, keys: Iterable[Any], *, is_set: bool) -> None:
    route = _route_of(summary)
    names = [key for key in keys if isinstance(key, str)]
    if route is not None and names:
        route.exporter.committing.write_before_summary(names, is_set=is_set)


def _route_of(summary: Any) -> Route | None:
    """The route of the run whose summary it is; None within our own flush."""
    # What stands below the top of a summary is reached by reading its key first.
    if type(summary) is not Summary:
        return None
    for route in tuple(_by_run.values()):
        if getattr(route.run, "summary", None) is summary:
            return None if route.is_closed or route.exporter.committing.is_flushing_here() else route
    return None
