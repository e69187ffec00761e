"""Who has wrapped or replaced `wandb.log` and `Run.log`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wandb
from wandb import wandb_run

_WANDB = str(Path(wandb.__file__).parent)
_OURS = str(Path(__file__).parent.parent)


@dataclass(frozen=True, slots=True)
class Wrapped:
    """One function that stands before W&B's own.

    Attributes:
        where: What it stands on: `wandb.log`, `Run.log` or `Run._log`.
        module: Where it was made; `name`, `file` and `line` likewise.
        is_ours: It is the bridge's.
    """

    where: str
    module: str
    name: str
    file: str
    line: int
    is_ours: bool


def wrappers_of_log() -> list[Wrapped]:
    """The functions around W&B's own `log`, the outermost first, as far as they can be seen."""
    places: list[tuple[str, Any]] = [("wandb.log", wandb.log), ("Run.log", wandb_run.Run.log)]
    places.append(("Run._log", getattr(wandb_run.Run, "_log", None)))
    found: list[Wrapped] = []
    for where, function in places:
        for each in _layers(function):
            code = each.__code__
            file = code.co_filename
            if not file.startswith(_WANDB) and not any(
                (file, code.co_firstlineno) == (w.file, w.line) for w in found
            ):
                name = getattr(each, "__qualname__", code.co_name)
                # functools.wraps copies the name of what it wraps: the code tells the truth.
                name = code.co_name if name in ("Run.log", "Run._log") else name
                module = str(getattr(each, "__globals__", {}).get("__name__", "?"))
                found.append(Wrapped(where, module, name, file, code.co_firstlineno, file.startswith(_OURS)))
    return found


def _layers(function: Any) -> Iterator[Callable[..., Any]]:
    seen: set[int] = set()
    while function is not None and id(function) not in seen:
        seen.add(id(function))
        if hasattr(function, "__code__"):
            yield function
        function = getattr(function, "__func__", None) or getattr(function, "__wrapped__", None)
