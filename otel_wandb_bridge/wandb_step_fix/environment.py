"""Options of `patch_wandb_log` where nobody calls it."""

import os
from collections.abc import Mapping
from typing import Any

from .settings import Settings

BUFFER_SIZE = "WANDB_STEP_FIX_BUFFER_SIZE"
FLUSH_INTERVAL = "WANDB_STEP_FIX_FLUSH_INTERVAL"


def options_in_environment(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """`buffer_size` and `flush_interval`; the exporter reads its own variables (`OTEL_WANDB_HOLD`, ...).

    Raises:
        ValueError: naming the variable, what came and what is expected.
    """
    options: dict[str, Any] = {}
    for variable, option, parse in (
        (BUFFER_SIZE, "buffer_size", int),
        (FLUSH_INTERVAL, "flush_interval", float),
    ):
        text = environ.get(variable, "").strip()
        if text:
            try:
                options[option] = parse(text)
                Settings(**{"buffer_size": 1, "flush_interval": 1.0, **options}, options={})
            except ValueError:
                what = (
                    "a whole number of calls, at least 1" if parse is int else "a number of seconds above 0"
                )
                raise ValueError(f"environment variable {variable}={text!r}: {what} is expected") from None
    return options
