"""A run in memory whose calls can be watched, as those of W&B, and that counts who asks for its step."""

from otel_wandb_bridge.records import Row
from otel_wandb_bridge.testing import FakeRun


class WatchedRun(FakeRun):
    asked = 0
    """How often it was asked for its step."""
    is_deaf = False
    """It does not answer."""

    def log(self, data, step=None, commit=None):
        return self._log(data, step=step, commit=commit)

    def _log(self, data, step=None, commit=None):
        super().log(data, step=step, commit=commit)
        return "logged"

    @property
    def step(self):
        self.asked += 1
        if self.is_deaf:
            raise ConnectionError("no answer")
        return super().step


def take(writer, *steps, **values):
    """Have a writer take a row for each of these steps."""
    for step in steps:
        writer.take(Row(step, {"loss": step / 2, **values}, 0.0, 1 + len(values)))


def numbers(run):
    """The `_step` of each row, and the step that it says."""
    return [(row["_step"], row.get("global_step")) for row in run.rows]
