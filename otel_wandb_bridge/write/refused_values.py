"""Which values of a row are at fault, where W&B has refused the row."""

from collections.abc import Callable
from typing import Any

_ABOUT_A_VALUE = (TypeError, ValueError, AttributeError, LookupError, FileNotFoundError, RecursionError)
"""What W&B raises for a value that it cannot take, as opposed to a service that does not answer."""


def is_about_a_value(error: Exception) -> bool:
    """Whether W&B says with this error that it cannot take a value."""
    return isinstance(error, _ABOUT_A_VALUE)


def refused_of(
    values: dict[str, Any], stamp: dict[str, Any], log: Callable[[dict[str, Any]], None]
) -> dict[str, Exception]:
    """Offer the values one by one, into the row in the making: what fails alone is at fault.

    Args:
        values: Of the row.
        stamp: What goes into it besides: of this, W&B can take everything.
        log: Gives values to W&B for the row in the making, and leaves that open.

    Returns:
        From the keys of the values that W&B does not take to its errors.

    Raises:
        Exception: W&B does not even take the stamp: it is the service that fails.
    """
    refused: dict[str, Exception] = {}
    log(stamp)
    for key, value in values.items():
        try:
            log({key: value})
        except Exception as error:
            if not is_about_a_value(error):
                log(stamp)
            refused[key] = error
    return refused
