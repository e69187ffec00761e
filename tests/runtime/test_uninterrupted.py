"""An exception that comes out of the blue into a flush, at every one of the moments at which it can."""

import gc
import math
import sys
import threading

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from otel_wandb_bridge import WandbMetricExporter
from otel_wandb_bridge.bridge import Bridge
from otel_wandb_bridge.testing import FakeRun

SHARES = hasattr(MeterProvider, "remove_metric_reader")
"""Before SDK 1.43 a bridge has a provider to itself, for no reader can be taken off one."""
WAYS_TO_FLUSH = {
    "force_flush": lambda bridge, run: bridge.force_flush(),
    "shutdown": lambda bridge, run: bridge.shutdown(),
    "the run's finish": lambda bridge, run: run.finish(),
}


class OutOfTheBlue(KeyboardInterrupt):
    """As a signal handler raises it."""


def interrupted(job, moment):
    """Run a job in the main thread, with an exception before the n-th bytecode of whatever runs there.

    Returns whether it came to that.
    """
    left = [moment]

    def trace(frame, event, argument):
        frame.f_trace_opcodes = True
        if event == "opcode":
            left[0] -= 1
            if left[0] < 0:
                raise OutOfTheBlue
        return trace

    before = sys.gettrace()
    gc.disable()  # what is raised in its callbacks comes nowhere
    sys._getframe().f_trace_opcodes = True  # or Python 3.12 asks nobody for the first time
    sys.settrace(trace)
    try:
        job()
    except OutOfTheBlue:
        return True
    finally:
        sys.settrace(before)
        gc.enable()
    return False


@pytest.mark.parametrize("way", WAYS_TO_FLUSH)
def test_no_row_is_lost_or_written_twice_whenever_a_flush_is_interrupted(way):
    """Whichever bytecode of it the exception comes before: the next flush writes what is left."""
    assert threading.current_thread() is threading.main_thread()
    moment, came = 0, True
    while came:
        run = FakeRun()
        exporter = WandbMetricExporter(run)
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)
        provider = MeterProvider([reader], shutdown_on_exit=False)
        bridge = Bridge(provider, reader, exporter, owns_provider=not SHARES, interval_millis=math.inf)
        for step in range(3):
            bridge.log({"loss": step / 2}, step=step, source="trainer")
        came = interrupted(lambda run=run, bridge=bridge: WAYS_TO_FLUSH[way](bridge, run), moment)
        run.finish()
        assert [0, 1, 2] == [row["global_step"] for row in run.rows], f"before bytecode {moment}"
        assert exporter.stats().is_conserved()
        exporter.shutdown()
        moment += 1 + moment // 100  # the first ones all, then ever fewer
    assert moment > 50
