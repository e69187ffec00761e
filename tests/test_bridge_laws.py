"""The laws of the whole bridge, for every program that hypothesis can think of."""

import threading
from collections import defaultdict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from otel_wandb_bridge import WandbMetricExporter, step_views
from otel_wandb_bridge.testing import FakeClock, FakeRun

pytestmark = pytest.mark.usefixtures("quiet")

SOURCES = ("trainer", "reward", "evaluator")
SOURCE = st.sampled_from(SOURCES)
BACK = st.integers(-2, 6)


class FlakyRun(FakeRun):
    """Does not answer as often as it was told."""

    failing = 0

    def log(self, data, step=None, commit=None):
        if self.failing:
            self.failing -= 1
            raise ConnectionError("no route to host")
        super().log(data, step=step, commit=commit)


class Programs(RuleBasedStateMachine):
    """Random programs over instruments, calls, threads, flushes, failures of W&B, and runs one after another.

    The model: what was recorded, by run, key and step. Each value has a number of its own, so that every row
    says what became of what.
    """

    @initialize(late=st.sampled_from(("keep", "keep", "merge", "drop")), with_views=st.booleans())
    def choose(self, late, with_views):
        self.late, self.views = late, step_views() if with_views else []
        self.clock = FakeClock()
        self.numbers = iter(range(1, 1_000_000))
        self.start()

    def start(self):
        """A run, and a bridge for it."""
        self.run = FlakyRun()
        self.exporter = WandbMetricExporter(
            self.run, late=self.late, hold=5.0, counters="increment", clock=self.clock
        )
        self.lane = self.exporter.open_lane()
        reader = PeriodicExportingMetricReader(self.exporter, export_interval_millis=3_600_000)
        self.provider = MeterProvider([reader], views=self.views, shutdown_on_exit=False)
        meters = {source: self.provider.get_meter(source) for source in SOURCES}
        self.gauges = {source: meter.create_gauge(f"{source}.gauge") for source, meter in meters.items()}
        self.counter = meters["trainer"].create_counter("counter")
        self.histogram = meters["trainer"].create_histogram("histogram")
        self.recorded = defaultdict(list)
        self.added = defaultdict(float)
        self.measured = defaultdict(int)
        self.newest = 0

    def step(self, back):
        """A step near the newest: ahead, behind, again."""
        step = max(0, self.newest - back)
        self.newest = max(self.newest, step)
        return step

    @rule(source=SOURCE, back=BACK)
    def set(self, source, back):
        step, number = self.step(back), next(self.numbers)
        self.recorded[f"{source}/gauge", step].append(number)
        self.gauges[source].set(number, {"step": step})

    @rule(source=SOURCE, back=BACK, priority=st.integers(0, 10))
    def log(self, source, back, priority):
        step, number = self.step(back), next(self.numbers)
        self.recorded["logged", step].append(number)
        self.lane.log({"logged": number}, step, source, priority)

    @rule(back=BACK, amount=st.integers(1, 9))
    def add(self, back, amount):
        step = self.step(back)
        self.added[step] += amount
        self.counter.add(amount, {"step": step})

    @rule(back=BACK, value=st.integers(0, 9))
    def record(self, back, value):
        step = self.step(back)
        self.measured[step] += 1
        self.histogram.record(value, {"step": step})

    @rule(backs=st.lists(BACK, min_size=2, max_size=4), flushes=st.booleans())
    def record_in_threads(self, backs, flushes):
        """Several threads at once, beside a flush or not."""
        work = []
        for back in backs:
            step, numbers = self.step(back), [next(self.numbers) for _ in range(5)]
            self.recorded[f"{SOURCES[0]}/gauge", step] += numbers
            self.measured[step] += len(numbers)
            work.append((step, numbers))

        def record(step, numbers):
            for number in numbers:
                self.gauges[SOURCES[0]].set(number, {"step": step})
                self.histogram.record(number, {"step": step})

        threads = [threading.Thread(target=record, args=each) for each in work]
        threads += [threading.Thread(target=self.exporter.collect)] * flushes
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    @rule(seconds=st.sampled_from((0.5, 6.0)))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @rule(times=st.integers(1, 4))
    def fail(self, times):
        """W&B does not answer for a while."""
        self.run.failing += times

    @rule()
    def flush(self):
        self.exporter.collect()

    @rule()
    def force_flush(self):
        self.provider.force_flush()

    @rule(how=st.sampled_from(("finish", "shutdown", "both")))
    def end(self, how):
        """The run ends; then the next one begins."""
        was_failing = self.run.failing > 0
        if how in ("shutdown", "both"):
            self.provider.shutdown()
        if how in ("finish", "both"):
            self.run.finish()
        self.check(is_over=not was_failing)
        self.provider.shutdown()
        self.exporter.shutdown()
        self.start()

    def check(self, *, is_over):
        stats = self.exporter.stats()
        assert stats.is_conserved()
        if not is_over:
            return
        assert 0 == stats.pending == stats.shed == stats.rejected
        rows = self.run.rows
        keys_of = [{key for key in row if not key.startswith("_")} for row in rows]
        if self.late != "merge":
            for row, keys in zip(rows, keys_of, strict=True):
                for key in keys & {key for key, _ in self.recorded}:
                    assert row[key] in self.recorded[key, row["global_step"]], "each value at its own step"
        if self.late == "keep":
            assert 0 == stats.dropped
            seen = defaultdict(set)
            for row, keys in zip(rows, keys_of, strict=True):
                for key in keys:
                    seen[key].add(row["global_step"])
            assert all(step in seen[key] for key, step in self.recorded), "no step of a key is missing"
            assert self.added == self.sums("counter"), "every increment is in one row"
            assert self.measured == self.sums("histogram/count"), "every observation is in one row"

    def sums(self, key):
        """By step, what the rows say of a key, added up."""
        sums = defaultdict(int)
        for row in self.run.rows:
            if key in row:
                sums[row["global_step"]] += row[key]
        return sums

    @invariant()
    def every_sample_is_accounted_for(self):
        if hasattr(self, "exporter"):
            assert self.exporter.stats().is_conserved()

    @invariant()
    def wandb_takes_every_row_in_rising_order(self):
        if hasattr(self, "run"):
            steps = [row["_step"] for row in self.run.rows]
            assert sorted(set(steps)) == steps
            assert [] == self.run.dropped

    def teardown(self):
        if hasattr(self, "exporter"):
            self.end("both")
            self.provider.shutdown()
            self.exporter.shutdown()


Programs.TestCase.settings = settings(stateful_step_count=30, deadline=None)
TestPrograms = Programs.TestCase
