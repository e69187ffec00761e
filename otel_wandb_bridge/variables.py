"""The environment variables of the bridge: which there are, and which only look like one."""

import logging
import os
from collections.abc import Mapping

from .option_texts import PARSERS
from .shared_options import ENDPOINT_VARIABLE, PREFIX
from .spelling import meant

_logger = logging.getLogger("otel_wandb_bridge")
_is_said = False

_OF_THE_RECEIVER = (
    "CERTIFICATE",
    "CLIENT_CA",
    "ENTITY",
    "GRPC_PORT",
    "HOST",
    "ID",
    "INSECURE",
    "JOURNAL",
    "MAX_BODY_BYTES",
    "MAX_JOURNAL_BYTES",
    "MAX_WAITING_BYTES",
    "NAME",
    "NO_JOURNAL",
    "PORT",
    "PRIVATE_KEY",
    "PROJECT",
    "REORDER",
    "TOKEN",
)


def known() -> list[str]:
    """The names of all of them, sorted."""
    options = (PREFIX + name.upper() for name in PARSERS)
    return sorted((*options, ENDPOINT_VARIABLE, *(f"{PREFIX}RECEIVER_{name}" for name in _OF_THE_RECEIVER)))


def unknown(environ: Mapping[str, str]) -> dict[str, str]:
    """By name, those that begin like ours and are none, with what was meant."""
    names = known()
    rests = [name.removeprefix(PREFIX) for name in names]  # what all begin with likens none to another
    hints = {}
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in names:
            close = meant(name.removeprefix(PREFIX), rests)
            hints[name] = f"did you mean {PREFIX}{close}?" if close else f"known are {', '.join(names)}"
    return hints


def say_unknown() -> None:
    """Log those of this process, once."""
    global _is_said
    if _is_said:
        return
    _is_said = True
    hints = unknown(os.environ)
    if hints:
        texts = "; ".join(f"{name}: {hint}" for name, hint in hints.items())
        _logger.warning("environment: nothing of otel-wandb-bridge reads this: %s", texts)
