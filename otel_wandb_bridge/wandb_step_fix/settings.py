"""What the bridges that the drop-in makes are made with."""

from collections.abc import Mapping
from typing import Any

from ..options import known_options, resolve
from ..spelling import refuse_unknown

# The step of an environment may leap by millions; a timestamp is still further.
MAX_STEP_JUMP = 1_000_000_000
PRIORITIES = {"trainer": 0, "evaluation": 1, "debug": 10}


class Settings:
    """What the exporters that the drop-in makes are made with.

    Args:
        buffer_size: From this many waiting calls on, they are flushed before the interval is over.
        flush_interval: Seconds.
        options: Those of `WandbMetricExporter`.

    Raises:
        TypeError, ValueError: naming the option, what came and what is expected.
    """

    def __init__(self, buffer_size: int, flush_interval: float, options: Mapping[str, Any]) -> None:
        if isinstance(buffer_size, bool) or not isinstance(buffer_size, int) or buffer_size < 1:
            raise ValueError(f"buffer_size must be a number of calls, at least 1; got {buffer_size!r}")
        is_number = isinstance(flush_interval, (int, float)) and not isinstance(flush_interval, bool)
        if not is_number or not 0 < flush_interval < float("inf"):
            raise ValueError(
                f"flush_interval must be a number of seconds, greater than 0; got {flush_interval!r}"
            )
        self.buffer_size = buffer_size
        self.flush_interval = float(flush_interval)
        refuse_unknown("wandb_step_fix", options, ("buffer_size", "flush_interval", *known_options()))
        self.options = {"max_step_jump": MAX_STEP_JUMP, **options}
        self.options["priorities"] = {**PRIORITIES, **(self.options.get("priorities") or {})}
        resolve(**self.options)
