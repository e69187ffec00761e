"""What workers and the process that writes the run are told alike, by argument or environment."""

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from .reconcile.policy import Policy, number, whole_number

PREFIX = "OTEL_WANDB_"
"""`OTEL_WANDB_HOLD` is the environment's word for `hold`."""

ENDPOINT_VARIABLE = f"{PREFIX}ENDPOINT"
INTERVAL_VARIABLE = "OTEL_METRIC_EXPORT_INTERVAL"
DEFAULT_INTERVAL_MILLIS = 2000.0


def interval_millis(given: float | None, environ: Mapping[str, str] = os.environ) -> float:
    """The flush interval: the argument, else `OTEL_METRIC_EXPORT_INTERVAL`, else 2,000 ms.

    Raises:
        TypeError, ValueError: naming the option or variable, what came and what is expected.
    """
    option, value = "export_interval_millis", given
    if value is None:
        text = environ.get(INTERVAL_VARIABLE, "").strip()
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


def endpoint_of_environment(environ: Mapping[str, str] = os.environ) -> str | None:
    """`OTEL_WANDB_ENDPOINT`; None where it is not set.

    Raises:
        ValueError: it is no base URL.
    """
    endpoint = environ.get(ENDPOINT_VARIABLE, "").strip()
    return base_url(endpoint, f"environment variable {ENDPOINT_VARIABLE}") if endpoint else None


def base_url(endpoint: Any, option: str = "endpoint") -> str:
    """Return `endpoint`, a base URL, without a slash at its end.

    Raises:
        TypeError, ValueError: naming the option or variable, what came and what is expected.
    """
    expected = f"{option} must be the base URL of the receiver, such as 'http://rank0:4318'"
    if not isinstance(endpoint, str):
        raise TypeError(f"{expected}; got {endpoint!r}")
    try:
        parts = urlsplit(endpoint.strip())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"{expected}; got {endpoint!r}")
    return endpoint.strip().rstrip("/")


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
