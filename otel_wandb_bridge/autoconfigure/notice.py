"""Says that the start-up has failed: who starts us swallows the error, and goes on without metrics."""

import atexit
import logging

_logger = logging.getLogger("otel_wandb_bridge")


def give_notice(what: str, error: Exception) -> None:
    """Say now, and once more when the program ends, that nothing reaches W&B, and why."""
    text = f"{what}: {error}. Nothing that this program measures is written to W&B"
    _logger.error("%s", text)
    atexit.register(_logger.error, "%s", text)
