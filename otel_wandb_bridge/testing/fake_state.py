"""The two dicts of a fake run: its config, which resists changes, and its summary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import AbstractContextManager
from typing import Any

Guard = Callable[[str], AbstractContextManager[object]]
"""Given the name of a write, holds the run's lock around it; raises if the run is finished."""


class FakeSummary(MutableMapping[str, Any]):
    """The summary of a fake run. Thread-safe.

    Writes after the run's end raise ``wandb.errors.UsageError``.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._items: dict[str, Any] = {}  # Written under the run's lock

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __setitem__(self, key: str, value: Any) -> None:
        with self._guard("_summary_update_callback"):
            self._items[key] = value

    def __delitem__(self, key: str) -> None:
        with self._guard("_summary_update_callback"):
            del self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._items))

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return repr(self._items)


class FakeConfig(MutableMapping[str, Any]):
    """The config of a fake run, read and written by key or by attribute. Thread-safe.

    A key that is set keeps its value: another one raises ``wandb.errors.Error`` unless it comes by
    ``update(…, allow_val_change=True)``. Writes after the run's end raise ``wandb.errors.UsageError``.
    """

    def __init__(self, guard: Guard) -> None:
        object.__setattr__(self, "_guard", guard)
        object.__setattr__(self, "_items", {})  # Written under the run's lock

    def update(self, d: Any = (), /, allow_val_change: bool | None = None, **more: Any) -> None:
        """Set every key of ``d``, or none of them if one may not change."""
        new = dict(d, **more)
        with self._guard("_config_callback"):
            for key, value in new.items():
                if not allow_val_change and key in self._items and self._items[key] != value:
                    self._refuse(key, value)
            self._items.update(new)

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        with self._guard("_config_callback"):
            del self._items[key]

    def __getattr__(self, name: str) -> Any:
        try:
            return self._items[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._items))

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return repr(self._items)

    def _refuse(self, key: str, value: Any) -> None:
        from wandb.errors import Error

        raise Error(
            f'Attempted to change value of key "{key}" from {self._items[key]} to {value}\n'
            "If you really want to do this, pass allow_val_change=True to config.update()"
        )
