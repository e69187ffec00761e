"""What workers and the process that writes the run are told alike, by argument or environment."""

import os

from .reconcile.policy import Policy, number, whole_number

PREFIX = "OTEL_WANDB_"
"""`OTEL_WANDB_HOLD` is the environment's word for `hold`."""

ENDPOINT_VARIABLE = f"{PREFIX}ENDPOINT"
INTERVAL_VARIABLE = "OTEL_METRIC_EXPORT_INTERVAL"
DEFAULT_INTERVAL_MILLIS = 2000.0


def interval_millis(given: float | None) -> float:
    """The flush interval: the argument, else `OTEL_METRIC_EXPORT_INTERVAL`, else 2,000 ms.

    Raises:
        TypeError, ValueError: naming the option or variable, what came and what is expected.
    """
    option, value = "export_interval_millis", given
    if value is None:
        text = os.environ.get(INTERVAL_VARIABLE, "").strip()
        if not text:
            return DEFAULT_INTERVAL_MILLIS
        option = f"environment variable {INTERVAL_VARIABLE}"
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"{option} must be a number of milliseconds; got {text!r}") from None
    number(option, value, minimum=0.0)
    if value <= 0:
        raise ValueError(f"{option} must be greater than 0 milliseconds; got {value!r}")
    return value


def endpoint_of_environment() -> str | None:
    """`OTEL_WANDB_ENDPOINT`; None where it is not set."""
    return os.environ.get(ENDPOINT_VARIABLE, "").strip() or None


def max_pending_of_worker(given: int | None) -> int:
    """How many samples wait at most: the argument, else `OTEL_WANDB_MAX_PENDING`, else 100,000.

    Raises:
        TypeError, ValueError: naming the option or variable, what came and what is expected.
    """
    option, value = "max_pending", given
    text = os.environ.get(f"{PREFIX}MAX_PENDING", "").strip()
    if value is None and text:
        option = f"environment variable {PREFIX}MAX_PENDING"
        try:
            value = int(text)
        except ValueError:
            raise ValueError(f"{option} must be a whole number; got {text!r}") from None
    return whole_number(option, Policy().max_pending if value is None else value, minimum=1)
