"""The logger `wandb_step_fix`, whose level is the one switch for decisions about steps."""

import logging

from .calls import logger


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """Prints to stderr in a program that has set up no logging: Python's last resort shows warnings only."""

    def emit(self, record: logging.LogRecord) -> None:
        if not logging.getLogger().handlers and logger.handlers == [self]:
            super().emit(record)


def show_where_nobody_listens() -> None:
    """Have the logger print where no handler would."""
    if not logger.handlers:
        handler = _Handler()
        handler.setFormatter(logging.Formatter("%(name)s: %(levelname)s: %(message)s"))
        logger.addHandler(handler)
