"""Running totals, all the way from samples to the rows of a run: nothing that was counted is missing.

Each increment is a power of two of its own, so that a total says which increments are in it.
"""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otel_wandb_bridge.flush.pipeline import Pipeline
from otel_wandb_bridge.options import resolve
from otel_wandb_bridge.records import Kind, Sample
from otel_wandb_bridge.sources import Process
from otel_wandb_bridge.testing import FakeClock, FakeRun

pytestmark = pytest.mark.usefixtures("quiet")

JUMP = 1_000
LEAP = 1_700_000_000
"""A timestamp that somebody passes as a step."""
SOURCES = ("trainer", "reward", *(Process("job", rank=rank).source("worker") for rank in range(2)))


class Counting:
    """A pipeline that one counter reports to, and what it was told."""

    def __init__(self, counters="total", **rules):
        self.run, self.clock = FakeRun(), FakeClock()
        options = resolve(counters=counters, hold=5.0, **rules)
        self.pipeline = Pipeline(self.run, options, self.clock)
        self.collected, self.deferred = [], []
        self.recorded = 0
        self.taken_in = {}
        """By step, the increments that were taken in, added up."""

    def add(self, source, step):
        increment = 1 << self.recorded
        self.collected.append(
            Sample(SOURCES[source], step, "tokens", increment, 5, self.recorded, Kind.INCREMENT)
        )
        self.recorded += 1

    def collect(self, newest):
        """Take in what was added; the newest so many were measured after the collection began."""
        self.pipeline.ledger.recorded += len(self.collected)
        until = self.recorded - 0.5 - newest
        samples, self.collected = self.collected, []
        self._note(self.deferred)
        self._note([sample for sample in samples if sample.time <= until])
        self.deferred = [sample for sample in samples if sample.time > until]
        self.pipeline.take(samples, until=until)

    def commit(self, everything):
        if everything:
            self._note(self.deferred)
            self.deferred = []
        self.pipeline.commit(everything=everything)

    def wait(self, seconds):
        self.clock.advance(seconds)

    def fail(self, times):
        """W&B does not answer for a while."""
        self.run.fail_next(times, ConnectionError("no route to host"))

    def finish(self):
        """Everything is committed, and a last increment, which no step says where to put, too."""
        self.run._failures.clear()
        self.collect(0)
        self.commit(True)
        self.add(0, None)
        self.collect(0)
        self.commit(True)
        assert 0 == self.pipeline.pending

    @property
    def all(self):
        return (1 << self.recorded) - 1

    @property
    def rows(self):
        """Those written and, after them, those that were handed over and wait for W&B."""
        waiting = self.pipeline.target.writer()._outbox.rows
        return [
            *((row.get("global_step"), row["tokens"]) for row in self.run.rows),
            *((each.row.step, each.values["tokens"]) for each in waiting),
        ]

    def _note(self, samples):
        for sample in samples:
            self.taken_in[sample.step] = self.taken_in.get(sample.step, 0) | sample.value


STEP = st.one_of(st.integers(0, 12), st.integers(0, 2).map(LEAP.__add__), st.none())
OPERATIONS = st.one_of(
    st.tuples(st.just("add"), st.integers(0, len(SOURCES) - 1), STEP),
    st.tuples(st.just("add"), st.integers(0, len(SOURCES) - 1), STEP),
    st.tuples(st.just("add"), st.just(0), st.integers(0, 12)),
    st.tuples(st.just("collect"), st.integers(0, 2)),
    st.tuples(st.just("commit"), st.booleans()),
    st.tuples(st.just("wait"), st.sampled_from((1.0, 6.0))),
    st.tuples(st.just("fail"), st.integers(1, 3)),
)
SCRIPTS = st.lists(OPERATIONS, max_size=40)
RULES = st.fixed_dictionaries(
    {
        "late": st.sampled_from(("keep", "merge", "drop", "drop")),
        "max_pending": st.sampled_from((1, 5, 10_000)),
        "max_step_jump": st.sampled_from((3, JUMP)),
    }
)
LEAP_TWICE = [("add", 0, step) for step in (9, 1, 4, 7, 9, 5)]
DROP = {"late": "drop", "max_pending": 10_000, "max_step_jump": JUMP}
MERGE_ONE = {"late": "merge", "max_pending": 1, "max_step_jump": JUMP}
LEAP_FIRST = [
    ("add", 0, LEAP),
    ("add", 1, None),
    ("collect", 0),
    ("add", 0, 1),
    ("add", 0, 2),
    ("collect", 1),
]


def perform(counting, script):
    """Do it, one by one: after each, the rows that came of it. Those are as they are from then on."""
    for name, *arguments in [*script, ("finish",)]:
        before = len(counting.rows)
        getattr(counting, name)(*arguments)
        yield counting.rows[before:]


@settings(max_examples=3 * settings().max_examples, deadline=None)
@given(SCRIPTS, RULES)
@example(
    [("add", 0, 0), ("add", 0, 1), ("collect", 0), ("add", 0, 0), ("add", 0, 0), ("collect", 1)], MERGE_ONE
)
@example(LEAP_FIRST, DROP)
@example([*LEAP_FIRST, ("commit", True), ("add", 1, 1), ("add", 0, LEAP)], DROP)
def test_each_total_is_the_sum_of_all_increments_up_to_its_step_and_the_last_one_of_all(script, rules):
    """Whatever came late, was dropped, leapt, was shed or had no step: the last total has all of it in it."""
    counting = Counting(**rules)
    newest = -1
    for rows in perform(counting, script):
        for step, total in rows:
            if step is None or step >= LEAP or rules["max_step_jump"] < JUMP:
                continue  # what leaps counts from the newest step on
            is_late, newest = step <= newest, max(step, newest)
            if is_late and rules["late"] == "merge":
                continue  # what came late before it is one of the row that it was merged into
            for other, increments in counting.taken_in.items():
                if other is not None and other < LEAP:
                    expected = increments if other <= step else 0
                    assert expected == total & increments, f"of step {other} in the row of step {step}"
    assert counting.all == counting.rows[-1][1]
    assert counting.pipeline.pending == 0


@settings(max_examples=3 * settings().max_examples, deadline=None)
@given(SCRIPTS, RULES)
@example(LEAP_FIRST, DROP)
@example(LEAP_TWICE, {"late": "keep", "max_pending": 10_000, "max_step_jump": 3})
def test_what_the_rows_have_and_what_was_reported_as_lost_is_all_there_was(script, rules):
    """No increment is in two rows, and none that is in no row is missing from the counts of what was lost."""
    counting = Counting(counters="increment", **rules)
    written = 0
    for rows in perform(counting, script):
        for _, increments in rows:
            assert 0 == written & increments, "in two rows"
            written |= increments
    ledger = counting.pipeline.ledger
    assert ledger.dropped + ledger.shed == (counting.all - written).bit_count()
    assert (ledger.written, 0) == (written.bit_count(), ledger.overridden)
    assert ledger.recorded == counting.recorded
