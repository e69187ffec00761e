"""Looking at what a run holds: read back from its file, checked, shown.

    stored = read_run("latest")
    assert not stored.problems()

For people there is `otel-wandb inspect`.
"""

from .history import Curve, History, Problem
from .stored_run import StoredRun, read_run

__all__ = ["Curve", "History", "Problem", "StoredRun", "read_run"]
