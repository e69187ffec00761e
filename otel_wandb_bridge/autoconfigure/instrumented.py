"""What `opentelemetry-instrument` runs last, whichever distro is in charge.

Its configurator makes a meter provider without views, and has no setting for them.
"""

import logging
import sys

_EXPORTER = f"{__package__}.exporter"


def after_instrumentation() -> None:
    """Complete the provider that an exporter of ours was given to. Does nothing where there is none."""
    if _EXPORTER not in sys.modules:  # nobody has asked for it, and nothing is imported for nothing
        return
    try:
        from .exporter import complete

        complete()
    except Exception:  # the program is to start
        logging.getLogger("otel_wandb_bridge").exception("could not add step_views() to the meter provider")
