"""Running totals: exact at every step, whatever comes late, is dropped, or was there before."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.patterns import ByKey
from otel_wandb_bridge.reconcile import Policy, Reconciler
from otel_wandb_bridge.reconcile.totals import HISTORY, Totals
from otel_wandb_bridge.records import Kind, Sample


class Counting:
    """A reconciler that counters report to."""

    def __init__(self, **rules):
        self.ledger = Ledger()
        self.reconciler = Reconciler(Policy(**rules), self.ledger)

    def count(self, step, *, source="trainer", **increments):
        samples = [
            Sample(source, step, key, value, 5, 1.0, Kind.INCREMENT) for key, value in increments.items()
        ]
        self.reconciler.add(samples, 0.0)

    def commit(self, *, everything=True):
        """Commit what is due: the rows."""
        self.reconciler.advance(0.0)
        rows = []
        while (row := self.reconciler.peek(everything=everything)) is not None:
            rows.append(row)
            self.reconciler.pop()
        return rows

    def values(self, **options):
        return [(row.step, dict(row.values)) for row in self.commit(**options)]


def test_a_late_increment_carries_the_total_of_its_own_step():
    """What was counted at later steps is not in it."""
    counting = Counting()
    for step in range(4):
        counting.count(step, tokens=10)
    counting.commit()
    counting.count(1, tokens=5)
    assert [(1, {"tokens": 25})] == counting.values()


def test_the_totals_after_a_late_increment_have_it_in_them():
    """From the next row on; what is written already stays as it was."""
    counting = Counting()
    for step in (0, 2):
        counting.count(step, tokens=10)
    counting.commit()
    counting.count(1, tokens=5)
    counting.commit()
    counting.count(3, tokens=1)
    assert [(3, {"tokens": 26})] == counting.values()


def test_a_late_row_says_what_the_totals_have_come_to():
    """So that the summary can end with it."""
    counting = Counting()
    for step in (0, 2):
        counting.count(step, tokens=10, requests=1)
    assert [{}, {}] == [row.totals for row in counting.commit()]
    counting.count(1, tokens=5)
    [late] = counting.commit()
    assert (15, {"tokens": 25}) == (late.values["tokens"], late.totals)


def test_a_late_increment_that_is_dropped_still_counts():
    """Its row is denied; the totals to come are right."""
    counting = Counting(late="drop")
    counting.count(5, tokens=10)
    counting.commit()
    counting.count(4, tokens=5)
    counting.count(6, tokens=1)
    assert [(6, {"tokens": 16})] == counting.values()
    assert 1 == counting.ledger.dropped


def test_a_late_increment_that_is_merged_counts_in_the_row_it_goes_to():
    """And in those after it, once."""
    counting = Counting(late="merge")
    counting.count(5, tokens=10)
    counting.commit()
    counting.count(4, tokens=5)
    counting.count(6, tokens=1)
    counting.count(7, tokens=1)
    assert [(6, {"tokens": 16}), (7, {"tokens": 17})] == counting.values()


def test_an_increment_that_is_shed_still_counts():
    """Of a run that comes late, or rows that W&B does not take."""
    counting = Counting()
    counting.count(None, requests=3)
    counting.count(0, tokens=10)
    assert 2 == counting.reconciler.shed(2)
    counting.count(1, tokens=10, requests=1)
    assert [(1, {"tokens": 20, "requests": 4})] == counting.values()


def test_a_leap_counts_from_now_on():
    """A timestamp that was passed as a step is no reason to leave its increment out of all totals."""
    counting = Counting(max_step_jump=1000)
    counting.count(1, tokens=10)
    counting.count(1_700_000_000, tokens=5)
    counting.commit()
    counting.count(2, tokens=1)
    assert [(2, {"tokens": 16})] == counting.values()


@pytest.mark.parametrize("late", ["keep", "drop"])
def test_a_leap_that_is_found_out_afterwards_counts_from_now_on(late):
    """It came first, and the steps that followed showed that it was none."""
    counting = Counting(max_step_jump=1000, late=late)
    counting.count(1_700_000_000, tokens=5)
    counting.count(None, tokens=3)
    counting.count(1, tokens=10)
    counting.commit()
    counting.count(2, tokens=1)
    assert [(2, {"tokens": 19})] == counting.values()


def test_a_leap_that_was_shed_before_it_was_found_out_counts_from_now_on():
    """It is in the totals by then, at a step that the run never comes to."""
    counting = Counting(max_step_jump=1000)
    counting.count(1_700_000_000, tokens=5)
    assert 1 == counting.reconciler.shed(1)
    counting.count(1, tokens=10)
    counting.count(2, tokens=1)
    assert [(1, {"tokens": 15}), (2, {"tokens": 16})] == counting.values()


def test_a_rider_counts_in_the_row_that_it_goes_with():
    """An increment without a step lands in the newest row."""
    counting = Counting()
    counting.count(7, tokens=10)
    counting.count(None, tokens=1)
    assert [(7, {"tokens": 11})] == counting.values()
    counting.count(6, tokens=1)
    assert [(6, {"tokens": 1})] == counting.values()


def test_in_a_run_without_steps_the_total_goes_on_from_flush_to_flush():
    """There is one place for all of them."""
    counting = Counting()
    for _ in range(3):
        counting.count(None, tokens=5)
        last = counting.values()
    assert [(None, {"tokens": 15})] == last


def test_a_resumed_run_goes_on_from_what_it_has_come_to():
    """At its own steps and at late ones."""
    counting = Counting()
    counting.reconciler.start_at(100, {"tokens": 5000}.get)
    counting.count(100, tokens=10)
    assert [(100, {"tokens": 5010})] == counting.values()


def test_a_run_that_is_not_resumed_is_not_asked():
    """Asking costs a request, and the summary of a new run may hold a number of the user's."""
    counting = Counting()
    counting.reconciler.start_at(0, None)
    counting.count(0, tokens=10)
    assert [(0, {"tokens": 10})] == counting.values()


def test_what_was_shed_before_the_run_was_known_is_no_reason_to_forget_its_total():
    """The base comes when the run does."""
    counting = Counting()
    counting.count(100, tokens=1)
    counting.reconciler.shed(1)
    counting.reconciler.start_at(100, {"tokens": 5000}.get)
    counting.count(101, tokens=10)
    assert [(101, {"tokens": 5011})] == counting.values()
    counting.count(100, tokens=1)
    assert [(100, {"tokens": 5002})] == counting.values()


def test_a_row_that_was_not_taken_is_not_counted_twice():
    """`peek` alone changes nothing."""
    counting = Counting()
    counting.count(0, tokens=10)
    for _ in range(3):
        assert 10 == counting.reconciler.peek(everything=True).values["tokens"]
    assert [(0, {"tokens": 10})] == counting.values()


def test_increments_alone_where_they_are_chosen():
    """By key: the row says what came within its step, late or not."""
    counting = Counting(counters=ByKey("total", {"tok*": "increment"}))
    for step in (0, 2, 1, 2):
        counting.count(step, tokens=10, requests=1)
    expected = [
        (0, {"tokens": 10, "requests": 1}),
        (1, {"tokens": 10, "requests": 2}),
        (2, {"tokens": 20, "requests": 4}),
    ]
    assert expected == counting.values()
    counting.count(1, tokens=3)
    [late] = counting.commit()
    assert ({"tokens": 3}, {}) == (late.values, late.totals)


def test_a_choice_that_is_none_is_refused():
    """By name, with what is expected."""
    with pytest.raises(ValueError, match="counters must be one of total, increment; got 'rate'"):
        Policy(counters=ByKey("total", {"a": "rate"}))


@pytest.mark.parametrize("step", [0, HISTORY, 3 * HISTORY - 1])
def test_the_last_steps_are_remembered_one_by_one(step):
    """Further back, the total at the oldest one that is remembered has to do."""
    totals = Totals()
    for each in range(3 * HISTORY):
        totals.add("tokens", each, 1)
    oldest = HISTORY if step == 0 else step + 1
    assert max(step + 1, oldest) == totals.shown("tokens", step, 0)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(-5, 100), st.booleans()), max_size=40),
    st.sampled_from(("keep", "merge", "drop")),
)
def test_every_row_says_what_had_come_up_to_its_step(reports, late):
    """In any order of arrival, with flushes anywhere in between: on time or late, each total is exact."""
    counting = Counting(late=late)
    came, waiting = {}, {}

    def check(rows):
        for row in rows if late == "keep" else ():
            came[row.step] = came.get(row.step, 0) + waiting.pop(row.step)
            assert sum(value for step, value in came.items() if step <= row.step) == row.values["tokens"]

    for step, value, flush in reports:
        waiting[step] = waiting.get(step, 0) + value
        counting.count(step, tokens=value)
        if flush:
            check(counting.commit(everything=False))
    check(counting.commit())
    counting.count(1000, tokens=0)
    [last] = counting.commit()
    assert sum(value for _, value, _ in reports) == last.values["tokens"]
