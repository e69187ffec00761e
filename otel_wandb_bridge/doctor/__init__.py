"""What is set up, and what is wrong with it.

    from otel_wandb_bridge.doctor import examine

    for finding in examine():
        print(finding)

From the command line: `otel-wandb doctor`, or `otel-wandb doctor train.py` to look into a program.
"""

from ..send import living_senders
from ..write.run import active_run
from .counts import look_at_counts
from .environment import look_at_environment
from .finding import FINE, NOTE, TROUBLE, Finding
from .installation import look_at_installation
from .process import look_at_process, open_exporters
from .thrown_away import look_at_dropped_calls
from .worker import look_at_worker

__all__ = ["FINE", "NOTE", "TROUBLE", "Finding", "examine"]


def examine() -> list[Finding]:
    """Look at the installation, the environment and this process, as they are now.

    Call it while the run is open. Nothing is changed by it; it may wait for a flush.
    """
    run = active_run()
    dropped = [] if run is None else look_at_dropped_calls([run])
    counts = look_at_counts([exporter.stats() for exporter in open_exporters()])
    workers = [found for sender in living_senders() for found in look_at_worker(sender)]
    here = [*look_at_process(), *workers, *counts, *dropped]
    return [*look_at_installation(), *look_at_environment(), *here]
