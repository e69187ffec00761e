"""Long runs need no more memory than short ones."""

import sys

import opentelemetry.sdk.version
import pytest

OLD_SDK = tuple(map(int, opentelemetry.sdk.version.__version__.split(".")[:3])) < (1, 45, 2)

MAKERS = {
    "plain": "provider = new_provider(WandbMetricExporter(run))",
    "configure": "bridge = configure(run, export_interval_millis=NEVER)\nprovider = bridge.meter_provider",
}

MEASURE = """
import resource
from otel_wandb_bridge.testing import FakeRun


class CountingRun(FakeRun):
    rows_written = 0

    def log(self, data, step=None, commit=None):
        self.rows_written += 1


run = CountingRun()
MAKE
loss = provider.get_meter("trainer").create_gauge("loss")
peaks = {}
for step in range(200_000):
    loss.set(step / 2, {"step": step})
    if step % 1_000 == 999:
        if "bridge" in globals():
            bridge.log({"note": "text"}, step=step)
        provider.force_flush()
    if step + 1 in (20_000, 200_000):
        peaks[step + 1] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report(rows=run.rows_written, peaks=peaks)
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="the platform does not say how much memory was used")
def test_two_hundred_thousand_steps_need_no_more_memory_than_twenty_thousand(run_scripts):
    """At its peak, in the whole process; with a plain provider, and with the views of `configure`."""
    makers = list(MAKERS)[OLD_SDK:]  # before 1.45.2 the SDK itself keeps every step that is an attribute
    outcomes = run_scripts({maker: MEASURE.replace("MAKE", MAKERS[maker]) for maker in makers}, timeout=170)
    for maker, outcome in outcomes.items():
        ((rows, peaks),) = [(each["rows"], each["peaks"]) for each in outcome.ended_well().reports]
        assert (maker, 200_000) == (maker, rows)
        assert peaks["200000"] < 1.04 * peaks["20000"], maker
