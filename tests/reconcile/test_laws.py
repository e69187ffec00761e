"""The laws of the reconciler, for every interleaving that hypothesis can think of."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.reconcile import Policy, Reconciler
from otel_wandb_bridge.records import Kind, Sample

pytestmark = pytest.mark.usefixtures("quiet")

SOURCES = ("trainer", "callback", "reward", "evaluator")
KEYS = ("loss", "reward", "lr")
JUMP = 1_000


class Reconciling(RuleBasedStateMachine):
    """Random sources with disorder, delays, deaths, late starts, jumps and duplicates; injected time."""

    @initialize(
        late=st.sampled_from(("keep", "keep", "merge", "drop")),
        hold=st.sampled_from((0.0, 1.0, 10.0)),
        disorder=st.integers(0, 3),
        max_pending=st.sampled_from((3, 20, 10_000)),
        gating=st.sampled_from((None, None, frozenset({"trainer"}))),
        expected=st.sampled_from((0, 0, 2, frozenset({"trainer", "evaluator"}))),
    )
    def make(self, late, hold, disorder, max_pending, gating, expected):
        self.policy = Policy(
            late=late,
            hold=hold,
            disorder=disorder,
            max_pending=max_pending,
            max_step_jump=JUMP,
            gating=gating,
            expected_sources=expected,
        )
        self.ledger = Ledger()
        self.reconciler = Reconciler(self.policy, self.ledger)
        self.now = 100.0
        self.added: dict[int, Sample] = {}
        self.on_time: list[int] = []
        self.seen: set[int] = set()
        self.front: list[tuple[float, int]] = []
        self.newest: int | None = None
        self.candidates: dict[tuple[int, str], list[Sample]] = {}
        self.was_shed = False

    def _add(self, source, step, key, priority, kind=Kind.VALUE):
        identity = len(self.added)
        sample = Sample(source, step, key, identity, priority, self.now, kind)
        self.added[identity] = sample
        committed = self.reconciler._committed
        leaps = self.newest is not None and step is not None and step > self.newest + JUMP
        if step is not None and not leaps and (committed is None or step > committed):
            self.candidates.setdefault((step, key), []).append(sample)
        self.reconciler.add([sample], self.now)
        self.ledger.recorded += 1
        if step is not None and not leaps:
            self.newest = step if self.newest is None else max(step, self.newest)
            passed = step - 1 - self.policy.disorder
            if not self.front or passed > self.front[-1][1]:
                self.front.append((self.now, passed))

    @rule(
        source=st.sampled_from(SOURCES),
        back=st.integers(-3, 12),
        key=st.sampled_from(KEYS),
        priority=st.integers(0, 10),
    )
    def report(self, source, back, key, priority):
        """A source reports a step near the newest: ahead, behind, again."""
        step = max(0, (self.newest if self.newest is not None else 0) - back)
        self._add(source, step, key, priority)

    @rule(source=st.sampled_from(SOURCES), key=st.sampled_from(KEYS))
    def leap(self, source, key):
        """A timestamp is passed as a step."""
        self._add(source, 1_700_000_000, key, 5)

    @rule(key=st.sampled_from(KEYS))
    def report_without_step(self, key):
        self._add("system", None, key, 5)

    @rule(key=st.sampled_from(("memory", "temperature")))
    def read_without_step(self, key):
        """An observable is read at each collection."""
        self._add("observed", None, key, 5, Kind.READING)

    @rule(seconds=st.sampled_from((0.0, 0.5, 2.0, 11.0)))
    def wait(self, seconds):
        self.now += seconds

    @rule(writes=st.integers(0, 30))
    def flush(self, writes):
        """Commit what is due; W&B may fail after any number of rows."""
        self._flush(writes, everything=False)

    @rule()
    def flush_all_that_is_due(self):
        self._flush(1_000_000, everything=False)
        for since, passed in self.front:
            if self.now >= since + self.policy.hold:
                waiting = [row.step for row in self.reconciler._rows if row.step <= passed]
                assert [] == waiting, "a row waits at most `hold` from when the first source moved past it"
        assert self.reconciler.pending <= self.policy.max_pending

    @rule()
    def force_flush(self):
        self._flush(1_000_000, everything=True)
        assert 0 == self.reconciler.pending

    @precondition(lambda self: self.reconciler.pending > 0)
    @rule(count=st.integers(1, 5))
    def shed(self, count):
        self.was_shed = True
        waiting = self.reconciler.pending
        gone = self.reconciler.shed(count)
        assert min(count, waiting) <= gone

    def _flush(self, writes, *, everything):
        self.reconciler.advance(self.now)
        while writes > 0 and (row := self.reconciler.peek(everything=everything)) is not None:
            self._check(row)
            self.reconciler.pop()
            writes -= 1

    def _check(self, row):
        assert row.values, "no empty row is written"
        for key, value in row.values.items():
            sample = self.added[value]
            assert value not in self.seen, "each sample is written once"
            self.seen.add(value)
            assert key == sample.key
            if self.policy.late != "merge":
                assert sample.step in (row.step, None), "each sample is written at its own step"
        if self.reconciler._head.origin in self.reconciler._rows:
            for key, value in row.values.items():
                candidates = self.candidates.get((row.step, key), [])
                if candidates and not self.was_shed:
                    winner = min(candidates, key=lambda sample: (sample.priority, -sample.value))
                    assert winner.value == value, "the higher priority wins, then the later measurement"
            assert not self.on_time or row.step > self.on_time[-1], "commits strictly rise"
            self.on_time.append(row.step)

    @invariant()
    def every_sample_is_accounted_for(self):
        if not hasattr(self, "ledger"):
            return
        ledger = self.ledger
        ends = ledger.written + ledger.overridden + ledger.dropped + ledger.shed + self.reconciler.pending
        assert ledger.recorded == ends
        assert ledger.written == len(self.seen)

    @invariant()
    def what_waits_is_what_is_counted(self):
        if not hasattr(self, "ledger"):
            return
        reconciler = self.reconciler
        rows = (*reconciler._rows, *reconciler._late, *reconciler._further)
        waiting = sum(row.samples for row in rows) + len(reconciler._riders) + len(reconciler._folding)
        assert waiting == reconciler.pending
        for row in rows:
            assert row.samples == sum(slot.samples for slot in row.slots.values()) + len(row.riders)


Reconciling.TestCase.settings = settings(
    max_examples=3 * settings().max_examples, stateful_step_count=40, deadline=None
)
TestReconciling = Reconciling.TestCase
