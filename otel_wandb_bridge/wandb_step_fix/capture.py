"""The values of a call of `wandb.log`, as they are now: nothing that happens to them later changes the row.

What W&B would turn into files when it is logged (images, tables, videos, charts) is turned into files now,
by W&B itself, for the file behind it may be gone at the flush. What it would refuse, it refuses now, in its
own words and at the caller's line.
"""

import json
from typing import Any

from wandb.sdk.data_types.utils import val_to_json
from wandb.sdk.wandb_run import Run
from wandb.util import json_dumps_safer_history

from ..record.snapshot import copied
from ..records import PLAIN

_ARRAYS = frozenset(("numpy",))
_IMMUTABLE = frozenset(("jax", "jaxlib"))
_SERIALIZE_CHARTS = (
    "_serialize_custom_charts" if hasattr(Run, "_serialize_custom_charts") else "_visualization_hack"
)
"""W&B's own conversion of charts, private under either name; the latter is that of wandb 0.18."""


def captured(run: Any, values: dict[str, Any], step: int | None) -> dict[str, Any]:
    """Turn values into what the row will hold.

    Args:
        run: The run that the files go to.
        values: Anything that `run.log` takes, by key; it is not changed.
        step: A part of the names of files.

    Raises:
        Exception: what W&B raises for values that it cannot take.
    """
    values = _own_dicts(values)
    if _has_chart(values):
        # What `run.log` does first of all; a chart is a table under another key, and a part of the config.
        values = getattr(run, _SERIALIZE_CHARTS)(values)
    return _dict_captured(run, values, 0 if step is None else step)


def _own_dicts(values: dict[str, Any]) -> dict[str, Any]:
    return {key: _own_dicts(value) if isinstance(value, dict) else value for key, value in values.items()}


def _has_chart(values: dict[str, Any]) -> bool:
    return any(
        _has_chart(value) if isinstance(value, dict) else _is_chart(value) for value in values.values()
    )


def _is_chart(value: Any) -> bool:
    # The module of these classes has changed more than once; their names have not.
    kind = type(value)
    return kind.__name__ in ("CustomChart", "Visualize") and kind.__module__.startswith("wandb.")


def _dict_captured(run: Any, values: dict[str, Any], step: int) -> dict[str, Any]:
    return {key: _captured(run, key, value, step) for key, value in values.items()}


def _captured(run: Any, key: str, value: Any, step: int) -> Any:
    if type(value) in PLAIN:
        return value
    if isinstance(value, dict):
        return _dict_captured(run, value, step)
    module = type(value).__module__.partition(".")[0]
    if module in _IMMUTABLE:
        return value
    if module in _ARRAYS or (hasattr(value, "detach") and hasattr(value, "clone")):
        return copied(value)
    if type(value) in (list, tuple) and PLAIN.issuperset(map(type, value)):
        return list(value)
    bound = val_to_json(run, key, value, namespace=step, ignore_copy_err=True)
    return json.loads(json_dumps_safer_history(bound)) if bound is value else bound
