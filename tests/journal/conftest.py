"""A bridge that is left as a SIGKILL leaves it."""

import pytest

from otel_wandb_bridge import WandbMetricExporter
from otel_wandb_bridge.testing import FakeRun


class Killed:
    """An exporter on a journal which ends as by a SIGKILL: nothing is flushed, the file is let go of."""

    def __init__(self, path, run, **options):
        self.run = run
        self.exporter = WandbMetricExporter(run, journal=path, **options)
        self.lane = self.exporter.open_lane()

    def __enter__(self):
        return self

    def log(self, values, step=None, source=None):
        """What `Bridge.log` does."""
        self.lane.log(values, step, source, None)

    def flush(self):
        """A flush of what is due, as by the interval."""
        self.exporter.collect()

    def __exit__(self, *_):
        pipeline = self.exporter._pipeline
        journaling = pipeline._journaling
        if journaling._tail is not None and journaling._tail._file is not None:
            journaling._tail._file.let_go()
        journaling._tail = pipeline.memory = None
        writer = pipeline.target.writer()
        writer.before_commit = None
        writer._outbox.rows.clear()
        journaling._forget()
        pipeline._reconciler = type(pipeline._reconciler)(pipeline._policy, pipeline.ledger)
        pipeline.deferral.take_all()
        self.lane.clear()
        self.exporter.shutdown()


@pytest.fixture
def killed(tmp_path):
    """Make a bridge on a journal in this directory."""

    def make(run=None, **options):
        return Killed(tmp_path / "tail.journal", FakeRun() if run is None else run, **options)

    return make


@pytest.fixture
def resumed():
    """The run as W&B resumes it where it has kept the first rows alone, and these rows."""

    def resume(run, has):
        rows = run.rows[:has]
        return FakeRun(id=run.id, starting_step=rows[-1]["_step"] + 1 if rows else 0), rows

    return resume
