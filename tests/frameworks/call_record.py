"""What a program logs: one JSON line for each call of W&B's `Run._log`, where all ways into a run end.

`start()` does nothing without the environment variable `RECORD_CALLS`, the file to write.
"""

import functools
import json
import numbers
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any


def start() -> None:
    """Record the calls from now on."""
    path = os.environ.get("RECORD_CALLS")
    if not path:
        return
    from wandb.sdk.wandb_run import Run

    original = Run._log
    lock = threading.Lock()

    @functools.wraps(original)
    def record_and_log(self, data, step=None, commit=None):
        call = {"step": step, "commit": commit, "values": dict(_flat(data))}
        with lock, open(path, "a") as file:
            file.write(json.dumps(call) + "\n")
        return original(self, data, step, commit)

    Run._log = record_and_log


def _flat(data: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, (*path, key))
        else:
            yield ".".join((*path, key)), _plain(value)


def _plain(value: Any) -> Any:
    """A number, a string, None, or for a medium `{"medium": …}`."""
    if getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(value, numbers.Number):
        return float(value)
    return value if value is None or isinstance(value, str) else {"medium": type(value).__name__}
