"""Which step a call of `wandb.log` belongs to, and what becomes of its values: the table in `calls.py`."""

from collections import Counter
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import baggage, context

from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.reconcile import Policy, Reconciler
from otel_wandb_bridge.record.ambient import PRIORITY_KEY, SOURCE_KEY
from otel_wandb_bridge.record.clock import ClockState
from otel_wandb_bridge.record.snapshot import Unusable
from otel_wandb_bridge.testing import FakeRun
from otel_wandb_bridge.testing.tree import leaves
from otel_wandb_bridge.wandb_step_fix.calls import Announcements, WandbCalls

pytestmark = pytest.mark.usefixtures("quiet")

STEP_KEYS = ("train/global_step", "trainer/global_step", "global_step")
NO_CLOCK = ClockState(None, None, MappingProxyType({}))
PRIORITIES = {"trainer": 0, "evaluation": 1, "debug": 10}
JUMP = 1_000


def train():
    """Stands for a function of the program that logs."""


def evaluate():
    """Stands for another."""


class Program:
    """Calls of one run, read and reconciled; every call has a time of its own."""

    def __init__(self, **policy):
        self.ledger = Ledger()
        self.reconciler = Reconciler(Policy(max_step_jump=JUMP, **policy), self.ledger)
        self.calls = WandbCalls(STEP_KEYS, PRIORITIES, JUMP)
        self.announcements = Announcements()
        self.time = 0.0
        self.now = 0.0
        self.rows = []

    def log(
        self,
        values,
        step=None,
        commit=None,
        *,
        by=train,
        thread=1,
        ambient=None,
        clock=NO_CLOCK,
        source=None,
        priority=None,
    ):
        """A call of `wandb.log` in a function and a thread."""
        self.time += 1.0
        site = (None, None, 0) if by is None else (by.__code__, {"__name__": by.__module__}, thread)
        said = ambient or context.Context()
        entry = (self.calls, self.time, dict(values), step, commit, *site, said, clock, source, priority)
        self.reconciler.add(self.calls.samples(entry, self.ledger), self.now)
        return self

    def announce(self, step, source="trainer"):
        """A call of `update_training_step`."""
        self.time += 1.0
        entry = (self.announcements, self.time, (), source, step)
        self.reconciler.add(self.announcements.samples(entry, self.ledger), self.now)
        return self

    def flush(self, *, everything=False):
        """What is due (or everything) becomes rows."""
        if everything:
            self.reconciler.add(self.calls.settle(self.ledger), self.now)
        self.reconciler.advance(self.now)
        while (row := self.reconciler.peek(everything=everything)) is not None:
            self.rows.append(row)
            self.reconciler.pop()
        return self

    def end(self):
        """Everything is written: step and values of each row, in order."""
        self.flush(everything=True)
        return [(row.step, dict(row.values)) for row in self.rows]

    @property
    def sources(self):
        return set(self.reconciler.sources)


def in_step(step, source=None, priority=None):
    """The context inside a `training_step`."""
    ambient = baggage.set_baggage("step", str(step), context.Context())
    if source is not None:
        ambient = context.set_value(SOURCE_KEY, source, ambient)
    if priority is not None:
        ambient = context.set_value(PRIORITY_KEY, priority, ambient)
    return ambient


def clock_at(step, owner=None, **by_source):
    """A step clock that was moved."""
    return ClockState(step, owner, MappingProxyType(by_source))


# The table, row by row


def test_calls_of_one_step_make_one_row():
    """`step=`, at or above W&B's own count: the values join the row of the step."""
    program = Program().log({"loss": 1}, 3).log({"reward": 2}, 3).log({"loss": 3}, 4)
    assert [(3, {"loss": 1, "reward": 2}), (4, {"loss": 3})] == program.end()


def test_the_later_value_of_a_key_stands_where_the_step_is_given():
    """As in W&B, where the second call merges into the open row."""
    program = Program().log({"loss": 1}, 3).log({"loss": 2}, 3)
    assert [(3, {"loss": 2})] == program.end()
    assert 1 == program.ledger.overridden


def test_the_later_call_stands_though_the_wall_clock_was_set_back():
    """W&B goes by the order of the calls, and so does the lane."""
    program = Program().log({"loss": 1}, 3)
    program.time -= 100.0
    assert [(3, {"loss": 2})] == program.log({"loss": 2}, 3).end()


def test_what_wandb_would_drop_joins_the_row_of_its_step():
    """`step=` below the count: into the row of the step, where nothing is overwritten there."""
    program = Program().log({"loss": 1}, 3).log({"loss": 2}, 4).log({"reward": 5}, 3)
    assert [(3, {"loss": 1, "reward": 5}), (4, {"loss": 2})] == program.end()


def test_what_wandb_would_drop_overwrites_nothing():
    """`step=` below the count, with a key that the row has: a row of its own at the same step."""
    program = Program().log({"loss": 1}, 3).log({"loss": 2}, 4).log({"loss": 9, "reward": 5}, 3)
    assert [(3, {"loss": 1}), (3, {"loss": 9, "reward": 5}), (4, {"loss": 2})] == program.end()


def test_a_call_below_the_count_of_stepless_calls_is_one_that_wandb_would_drop():
    """Each committed call without a step uses one of W&B's own steps up."""
    program = Program()
    for value in range(3):
        program.log({"a": value})
    program.log({"loss": 1}, 2).log({"loss": 2}, 2).log({"loss": 3}, 3).log({"loss": 4}, 3)
    ours = [row for row in program.end() if "loss" in row[1]]
    assert [(2, {"loss": 1}), (2, {"loss": 2}), (3, {"loss": 4})] == ours


def test_a_row_that_commit_sealed_is_not_written_to_again():
    """`step=3, commit=True` moves W&B's count to 4: what comes for 3 then is one that it would drop."""
    program = Program().log({"loss": 1}, 3, True).log({"loss": 2}, 3)
    assert [(3, {"loss": 1}), (3, {"loss": 2})] == program.end()


@pytest.mark.parametrize(
    "said",
    [{"ambient": in_step(7)}, {"clock": clock_at(7)}, {"clock": clock_at(7, "trainer", trainer=7)}],
    ids=["training_step", "set_step", "update_training_step"],
)
def test_a_call_belongs_to_the_ambient_step(said):
    """`training_step`, `set_step`, `update_training_step`: the values ride on the row of that step."""
    program = Program().log({"loss": 1}, 7).log({"reward": 2}, **said).log({"lr": 3}, **said)
    assert [(7, {"loss": 1, "reward": 2, "lr": 3})] == program.end()


def test_a_stepless_call_never_overwrites_a_key_of_the_ambient_row():
    """It becomes a row of its own, at the ambient step, and all of its values stay together."""
    program = Program().log({"loss": 1}, ambient=in_step(7)).log({"loss": 2, "lr": 3}, ambient=in_step(7))
    assert [(7, {"loss": 1}), (7, {"loss": 2, "lr": 3})] == program.end()


def test_a_given_step_beats_the_ambient_one():
    """`step=` comes first in the table."""
    program = Program().log({"loss": 1}, 2, ambient=in_step(7), clock=clock_at(8))
    assert [(2, {"loss": 1})] == program.end()


def test_the_block_beats_the_clock():
    """`training_step` is said for this very context; the clock for the process."""
    assert [(7, {"loss": 1})] == Program().log({"loss": 1}, ambient=in_step(7), clock=clock_at(9)).end()


def test_a_source_goes_by_its_own_clock():
    """`update_training_step(4, source="evaluation")` is about that source."""
    clock = clock_at(9, "trainer", trainer=9, evaluation=4)
    program = Program().log({"a": 1}, source="evaluation", clock=clock).log({"b": 2}, clock=clock)
    assert [(4, {"a": 1}), (9, {"b": 2})] == program.end()


@pytest.mark.parametrize("key", STEP_KEYS)
def test_a_step_key_among_the_values_says_the_step(key):
    """transformers' and Lightning's keys, and that of the axis; the key itself stays in the row."""
    program = Program().log({"loss": 1, key: 5}).log({"reward": 2, key: 5})
    assert [(5, {"loss": 1, key: 5, "reward": 2})] == program.end()


def test_the_ambient_step_beats_a_step_key():
    """Who says the step around the call knows better than a value in it."""
    assert [(7, {"a": 1, STEP_KEYS[0]: 5})] == Program().log(
        {"a": 1, STEP_KEYS[0]: 5}, clock=clock_at(7)
    ).end()


def test_the_first_step_key_counts():
    """In the order of the option."""
    values = {STEP_KEYS[2]: 9, STEP_KEYS[1]: 6, STEP_KEYS[0]: 5}
    assert [5] == [step for step, _ in Program().log(values).end()]


@pytest.mark.parametrize("nonsense", [-1, 1.5, "five", None, float("nan"), True, [5]])
def test_a_step_key_that_holds_no_step_is_a_value_like_others(nonsense):
    """The call has no step then, and none of its values is lost."""
    program = Program().log({STEP_KEYS[0]: nonsense, "loss": 1})
    ((step, values),) = program.end()
    assert (None, 1) == (step, values["loss"])
    assert STEP_KEYS[0] in values


def test_a_call_without_any_step_is_a_row_of_its_own():
    """As in W&B; stamped with the step that is current then."""
    program = Program().log({"loss": 1}, 5)
    for value in range(16):
        program.log({"profiling/time": value})
    program.log({"loss": 2}, 6)
    rows = program.end()
    assert list(range(16)) == [row["profiling/time"] for step, row in rows if "profiling/time" in row]
    assert {5} == {step for step, row in rows if "profiling/time" in row}
    assert [1, 2] == [row["loss"] for _, row in rows if "loss" in row]


def test_equal_values_without_a_step_are_as_many_points():
    """Sixteen times 0.0 is sixteen points, as in W&B."""
    program = Program().log({"loss": 1}, 5)
    for _ in range(16):
        program.log({"profiling/time": 0.0})
    assert 16 == sum("profiling/time" in row for _, row in program.end())


def test_a_program_without_steps_has_a_row_for_each_call():
    """Rows without a step: W&B numbers them."""
    program = Program().log({"a": 1}).log({"a": 2}).log({"b": 3})
    assert [(None, {"a": 1}), (None, {"a": 2}), (None, {"b": 3})] == program.end()


def test_a_lone_call_does_not_join_a_row_that_comes_later_for_its_step():
    """A row of its own is a row of its own, whether the row of the step is open or not."""
    program = Program().log({"a": 1}, 5).flush(everything=True).log({"b": 2}).log({"c": 3})
    assert [(5, {"a": 1}), (5, {"b": 2}), (5, {"c": 3})] == program.end()


# commit=False


def test_commit_false_keeps_the_values_for_the_next_call():
    """Both are one row, as in W&B."""
    program = Program().log({"a": 1}, commit=False).log({"b": 2}, commit=False).log({"c": 3})
    assert [(None, {"a": 1, "b": 2, "c": 3})] == program.end()


def test_the_later_value_of_a_key_stands_in_what_commit_false_holds():
    """As in W&B, and what it replaced is counted."""
    program = Program().log({"a": 1, "b": 1}, commit=False).log({"a": 2}, commit=False).log({"a": 3})
    assert [(None, {"a": 3, "b": 1})] == program.end()
    assert (4, 2, 2) == (program.ledger.recorded, program.ledger.overridden, program.ledger.written)


def test_nested_values_that_commit_false_holds_are_merged_leaf_by_leaf():
    """As in W&B, where each leaf is a value: no leaf is lost that the next call does not name."""
    program = Program().log({"d": {"x": 1, "y": 1}}, commit=False).log({"d": {"y": 2}})
    assert [(None, {"d": {"x": 1, "y": 2}})] == program.end()


def test_commit_true_without_a_step_ends_what_commit_false_holds():
    """It is what a call without `commit=` says too."""
    program = Program().log({"a": 1}, commit=False).log({"b": 2}, commit=True).log({"a": 3})
    assert [(None, {"a": 1, "b": 2}), (None, {"a": 3})] == program.end()


def test_a_given_step_seals_what_commit_false_holds():
    """W&B's row in the making ends where a higher step begins; its values ride at the step of before."""
    program = Program().log({"a": 1}, 3).log({"b": 2}, commit=False).log({"a": 4}, 4)
    assert [(3, {"a": 1, "b": 2}), (4, {"a": 4})] == program.end()


def test_what_commit_false_holds_overwrites_nothing_when_it_is_sealed():
    """It may not take the place of a value that W&B would have kept."""
    program = Program().log({"a": 1}, 3, True).log({"a": 2}, commit=False).log({"a": 4}, 4)
    assert [(3, {"a": 1}), (3, {"a": 2}), (4, {"a": 4})] == program.end()


def test_commit_false_with_a_step_holds_nothing_back():
    """With `step=` it is W&B's default anyway."""
    program = Program().log({"a": 1}, 3, False).log({"b": 2}, 3, False).log({"c": 3}, 4, False)
    assert [(3, {"a": 1, "b": 2}), (4, {"c": 3})] == program.end()


def test_what_commit_false_holds_takes_the_step_that_the_next_call_knows():
    """A step key, or an ambient step, in the call that commits."""
    program = Program().log({"a": 1}, commit=False).log({"b": 2, STEP_KEYS[0]: 5})
    assert [(5, {"a": 1, "b": 2, STEP_KEYS[0]: 5})] == program.end()


def test_the_next_call_takes_the_step_that_commit_false_knew():
    """They are one row, and one of them said the step."""
    program = Program().log({"c": 0}, 5).log({"a": 1}, commit=False, ambient=in_step(5)).log({"b": 2})
    assert [(5, {"c": 0, "a": 1, "b": 2})] == program.end()


def test_what_commit_false_holds_for_one_step_does_not_go_to_another():
    """The ambient step has moved: both are where they belong."""
    program = Program().log({"a": 1}, commit=False, ambient=in_step(5)).log({"a": 2}, ambient=in_step(6))
    assert [(5, {"a": 1}), (6, {"a": 2})] == program.end()


def test_at_the_end_what_commit_false_holds_is_a_row():
    """W&B writes its row in the making at the finish."""
    program = Program().log({"a": 1}, 3).log({"b": 2}, commit=False)
    assert 1 == program.calls.waiting
    assert [(3, {"a": 1, "b": 2})] == program.end()
    assert 0 == program.calls.waiting


def test_without_any_step_what_commit_false_holds_is_a_row_at_the_end():
    """A row without a step."""
    assert [(None, {"a": 1})] == Program().log({"a": 1}, commit=False).end()


def test_a_fork_forgets_what_commit_false_holds():
    """It is the parent's to write."""
    program = Program().log({"a": 1}, commit=False)
    program.calls.clear()
    assert [] == program.end()


# Steps that are none


def test_a_negative_step_is_a_row_of_its_own():
    """W&B drops it; nothing is lost here, and nothing else moves by it."""
    program = Program().log({"a": 1}, 3).log({"a": 2}, -1).log({"a": 3}, -1).log({"b": 4}, 3).log({"c": 5})
    assert [(-1, {"a": 2}), (-1, {"a": 3}), (3, {"a": 1, "b": 4}), (3, {"c": 5})] == sorted(
        program.end(), key=lambda row: row[0]
    )


def test_a_negative_step_moves_no_watermark():
    """It is nobody's progress."""
    program = Program().log({"a": 1}, -1)
    assert set() == program.sources


def test_a_timestamp_for_a_step_does_not_become_the_current_one():
    """It is a leap: a row of its own, and calls without a step stay with the step of before."""
    program = Program().log({"a": 1}, 3).log({"a": 2}, 1_700_000_000).log({"b": 3})
    assert {(1_700_000_000, 2), (3, 1)} == {(step, row["a"]) for step, row in program.end() if "a" in row}
    assert [3] == [row.step for row in program.rows if "b" in row.values]


@pytest.mark.parametrize("step", [1.5, "five", float("nan"), True, object()])
def test_a_step_that_is_none_rejects_the_call_and_says_so(step):
    """Only `safe_wandb_log` brings such steps; W&B's own refusal comes before this else."""
    program = Program().log({"a": 1, "b": 2}, step, source="default").log({"c": 3}, 1)
    assert [(1, {"c": 3})] == program.end()
    assert {"step": 2} == dict(program.ledger.rejected)
    assert 3 == program.ledger.recorded


@pytest.mark.parametrize("key", [5, "", None, ("a",)])
def test_a_key_that_is_no_text_is_rejected_alone(key):
    """The other values of the call stay. Only `safe_wandb_log` brings such keys."""
    program = Program().log({key: 1, "b": 2}, 1, by=None)
    assert [(1, {"b": 2})] == program.end()
    assert {"key": 1} == dict(program.ledger.rejected)


def test_a_value_that_could_not_be_copied_is_rejected_alone():
    """The other values of the call stay."""
    program = Program().log({"a": Unusable("RuntimeError"), "b": 2}, 1, by=None)
    assert [(1, {"b": 2})] == program.end()
    assert {"value": 1} == dict(program.ledger.rejected)


# Sources and priorities


def test_the_function_that_logs_is_the_source():
    """Module and qualified name; each thread in it counts for itself."""
    program = Program().log({"a": 1}, 1, thread=11).log({"a": 2}, 2, thread=12).log({"a": 3}, 3, by=evaluate)
    assert {f"{__name__}.train", f"{__name__}.train#2", f"{__name__}.evaluate"} == program.sources


def test_a_thread_that_is_behind_holds_the_rows_open():
    """Two threads in one function, at steps of their own: the rows wait for the slower."""
    program = Program().log({"a": 1}, 1, thread=11).log({"b": 1}, 1, thread=12)
    for step in (2, 3, 4):
        program.log({"a": step}, step, thread=11)
    program.flush()
    assert [] == program.rows
    program.log({"b": 3}, 3, thread=12).flush()
    assert [1, 2] == [row.step for row in program.rows]


def test_rows_are_held_at_most_for_the_hold():
    """A thread that is gone delays a row once, and what it says then is late and not lost."""
    program = Program(hold=10.0).log({"a": 1}, 1, thread=11).log({"b": 1}, 1, thread=12)
    program.log({"a": 2}, 2, thread=11)
    program.now = 10.0
    program.flush()
    assert [1] == [row.step for row in program.rows]
    assert (1, {"b": 9}) in program.log({"b": 9}, 1, thread=12).end()
    assert 1 == program.ledger.late


def test_module_level_code_is_the_module():
    """`<module>` is no name for people."""
    code = compile("pass", "script.py", "exec")
    script = type("script", (), {"__module__": "__main__", "__code__": code})
    assert {"__main__"} == Program().log({"a": 1}, 1, by=script).sources


def test_a_call_from_nowhere_is_the_default_source():
    """`safe_wandb_log` with `source=None`."""
    assert {"default"} == Program().log({"a": 1}, 1, by=None).sources


def test_what_is_said_beats_the_function():
    """`source=` first, then the block's."""
    ambient = in_step(1, source="trainer")
    program = Program().log({"a": 1}, ambient=ambient).log({"b": 1}, ambient=ambient, source="evaluation")
    assert {"trainer", "evaluation"} == program.sources


def test_who_moved_the_clock_reports_for_those_that_go_by_it():
    """`update_training_step(7)`: what is logged at 7 without a step is the trainer's."""
    assert {"trainer"} == Program().log({"a": 1}, clock=clock_at(7, "trainer", trainer=7)).sources


def test_of_two_values_the_higher_priority_stands_where_both_gave_the_step():
    """0 is the highest, by the source or said with the call."""
    program = Program().log({"a": 1}, 1, source="trainer").log({"a": 2}, 1, source="debug", priority=9)
    program.log({"a": 3}, 2, source="debug").log({"a": 4}, 2, priority=3)
    assert [(1, {"a": 1}), (2, {"a": 4})] == program.end()


def test_the_block_says_the_priority_too():
    """`training_step(1, priority=0)`."""
    program = Program().log({"a": 1}, 1, ambient=in_step(1, priority=0)).log({"a": 2}, 1)
    assert [(1, {"a": 1})] == program.end()


def test_a_priority_that_is_none_is_not_used():
    """The source's default is; nothing is lost."""
    program = Program().log({"a": 1}, 1, priority="high").log({"a": 2}, 1)
    assert [(1, {"a": 2})] == program.end()


# Announcements


def test_an_announcement_lets_the_rows_below_it_go():
    """The watermark moves without a value."""
    program = Program().announce(3).log({"loss": 1}, 3, source="trainer").flush()
    assert [] == program.rows
    assert [3] == [row.step for row in program.announce(4).flush().rows]


def test_an_announcement_is_no_value():
    """It is not counted as one and writes nothing."""
    program = Program().announce(1).announce(2)
    assert [] == program.end()
    assert 0 == program.ledger.recorded


def test_regressions_jumps_and_duplicates_are_each_counted():
    """5 → 15 is a jump, 15 → 4 a regression, 4 → 4 a duplicate."""
    program = Program().announce(5)
    assert (0, 0, 0) == counts(program)
    assert (0, 1, 0) == counts(program.announce(15))
    assert (1, 1, 0) == counts(program.announce(4))
    assert (1, 1, 1) == counts(program.announce(4))
    assert (1, 1, 1) == counts(program.announce(5))
    assert (1, 1, 1) == counts(program.announce(5, source="evaluation"))


def test_an_announced_leap_moves_nothing():
    """A timestamp for a step must not drag the watermark along."""
    program = Program().announce(5).announce(1_700_000_000)
    program.log({"loss": 1}, 5, source="trainer").flush()
    assert [] == program.rows


def test_the_same_key_and_step_from_the_same_source_is_a_duplicate():
    """Whether W&B would keep the second or drop it."""
    assert (0, 0, 1) == counts(Program().log({"a": 1}, 3).log({"a": 2}, 3))
    assert 1 == Program().log({"a": 1}, 3, True).log({"a": 2}, 3).ledger.duplicate_steps


def counts(program):
    ledger = program.ledger
    return ledger.step_regressions, ledger.step_jumps, ledger.duplicate_steps


# All programs that hypothesis can think of

KEYS = ("loss", "reward", "nested")
SMALL_STEPS = st.integers(0, 12)
COMMITS = st.sampled_from((None, None, True, False))


@st.composite
def a_call(draw):
    """A call: its keys, and what is known of its step."""
    known = draw(
        st.sampled_from(("given", "given", "nothing", "nothing", "block", "clock", "key", "negative"))
    )
    return {
        "keys": draw(st.sets(st.sampled_from(KEYS), min_size=1)),
        "leaves": draw(st.sets(st.sampled_from("xyz"), min_size=1)),
        "known": known,
        "step": draw(SMALL_STEPS),
        "commit": draw(COMMITS),
        "by": draw(st.sampled_from((train, evaluate))),
        "thread": draw(st.integers(1, 2)),
    }


PROGRAMS = st.lists(
    st.one_of(
        a_call(),
        a_call(),
        a_call(),
        st.sampled_from(("flush", "flush everything", "hold")),
        st.tuples(st.just("announce"), SMALL_STEPS),
    ),
    max_size=25,
)


@settings(max_examples=300, deadline=None)
@given(PROGRAMS)
def test_nothing_is_lost_that_wandb_keeps_and_nothing_that_it_drops(actions):
    """Whatever the mixture: each value that W&B would have kept is in a row, and each that it would have
    dropped is in a row of its step. Every value has one end."""
    native = FakeRun()  # W&B's own rules, proved beside real runs
    program = Program(hold=10.0)
    given_steps = {}
    for number, action in enumerate(actions):
        if not isinstance(action, dict):
            _do(program, action)
            continue
        values, step, said = _arguments(action, number)
        if step is not None:
            given_steps |= dict.fromkeys(leaves(values), step)
        native.log(values, step=step, commit=action["commit"])
        program.log(values, step, action["commit"], by=action["by"], thread=action["thread"], **said)
        _check_conservation(program)
    native.finish()
    program.end()
    found = Counter((path, value) for row in program.rows for path, value in leaves(row.values))
    at = {(path, value, row.step) for row in program.rows for path, value in leaves(row.values)}
    for row in native.rows:
        for path, value in leaves({key: value for key, value in row.items() if key != "_step"}):
            assert found[path, value], f"W&B keeps {value} of {path}"
            step = given_steps.get((path, value))
            assert step is None or (path, value, step) in at, f"{value} of {path} was given step {step}"
    for step, values in native.dropped:
        for path, value in leaves(values):
            assert (path, value, step) in at, f"W&B drops {value} of {path} at {step}"
    assert 0 == program.reconciler.pending + program.calls.waiting
    _check_conservation(program)
    _check_together(program, actions)
    written = {leaf: times for leaf, times in found.items() if leaf[0][0] not in STEP_KEYS}
    assert not written or 1 == max(written.values()), "nothing is written twice"


def _do(program, action):
    if action == "hold":
        program.now += 11.0
        program.flush()
    elif action in ("flush", "flush everything"):
        program.flush(everything=action != "flush")
    else:
        program.announce(action[1])


def _arguments(action, number):
    """Every value is another number: what is found is known."""
    values = dict.fromkeys(sorted(action["keys"] - {"nested"}), number * 10)
    if "nested" in action["keys"]:
        values["nested"] = {leaf: number * 10 + place for place, leaf in enumerate(sorted(action["leaves"]))}
    known, step, said = action["known"], None, {}
    if known == "given":
        step = action["step"]
    elif known == "negative":
        step = -1 - action["step"]
    elif known == "block":
        said["ambient"] = in_step(action["step"])
    elif known == "clock":
        said["clock"] = clock_at(action["step"], "trainer", trainer=action["step"])
    elif known == "key":
        values[STEP_KEYS[0]] = action["step"]
    return values, step, said


def _check_conservation(program):
    ledger = program.ledger
    ends = ledger.written + ledger.overridden + ledger.dropped + ledger.shed + ledger.rejected.total()
    assert ledger.recorded == ends + program.reconciler.pending


def _check_together(program, actions):
    """The values of one call without a given step stand in one row."""
    for number, action in enumerate(actions):
        if isinstance(action, dict) and action["known"] in ("nothing", "block", "clock", "key"):
            holders = {
                index
                for index, row in enumerate(program.rows)
                for path, value in leaves(row.values)
                if path[0] not in STEP_KEYS and value // 10 == number
            }
            assert len(holders) <= 1, f"call {number} is in the rows {holders}"
