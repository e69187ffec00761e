"""The rules of reconciling, one example each."""

import pytest

from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.reconcile import Policy, Reconciler
from otel_wandb_bridge.records import Distribution, Kind, Sample


class Bench:
    """A reconciler with a clock that the test moves."""

    def __init__(self, **rules):
        self.ledger = Ledger()
        self.reconciler = Reconciler(Policy(**rules), self.ledger)
        self.now = 0.0
        self.made = 0
        self.late_rows = 0

    def add(self, source, step, *, priority=5, kind=Kind.VALUE, time=None, **values):
        self.made += 1
        moment = float(self.made) if time is None else time
        samples = [Sample(source, step, key, value, priority, moment, kind) for key, value in values.items()]
        self.reconciler.add(samples, self.now)

    def rows(self, *, everything=False):
        """Commit what is due: (step, values) of each row."""
        self.reconciler.advance(self.now)
        committed = []
        while (row := self.reconciler.peek(everything=everything)) is not None:
            committed.append((row.step, dict(row.values)))
            self.late_rows += row.late
            self.reconciler.pop()
        return committed


def test_a_row_is_open_until_its_source_moves_past_it():
    """A source that has reported step s is done with the steps below s."""
    bench = Bench()
    bench.add("trainer", 0, loss=1.0)
    assert [] == bench.rows()
    bench.add("trainer", 1, loss=2.0)
    assert [(0, {"loss": 1.0})] == bench.rows()


def test_a_row_waits_for_the_slowest_source_and_is_merged():
    """The watermark is the minimum over the sources."""
    bench = Bench()
    bench.add("reward", 0, reward=0.1)
    bench.add("trainer", 0, loss=1.0)
    bench.add("trainer", 5, loss=2.0)
    assert [] == bench.rows()
    bench.add("reward", 1, reward=0.2)
    assert [(0, {"reward": 0.1, "loss": 1.0})] == bench.rows()


def test_disorder_keeps_rows_open_for_steps_that_go_back():
    """With disorder 2, a source that has reported s is done with the steps below s - 2."""
    bench = Bench(disorder=2)
    bench.add("trainer", 5, loss=5.0)
    bench.add("trainer", 3, loss=3.0)
    bench.add("trainer", 6, loss=6.0)
    assert [(3, {"loss": 3.0})] == bench.rows()
    bench.add("trainer", 4, loss=4.0)
    assert [(4, {"loss": 4.0}), (5, {"loss": 5.0}), (6, {"loss": 6.0})] == bench.rows(everything=True)
    assert 0 == bench.ledger.late


def test_a_dead_source_delays_a_row_by_hold_once_and_never_again():
    """After `hold`, the source that held rows back stops gating until it has caught up."""
    bench = Bench(hold=10.0)
    bench.add("evaluator", 0, accuracy=0.5)
    bench.add("trainer", 0, loss=0.0)
    bench.add("trainer", 1, loss=1.0)
    bench.now = 9.9
    assert [] == bench.rows()
    bench.now = 10.0
    assert [(0, {"accuracy": 0.5, "loss": 0.0})] == bench.rows()
    bench.add("trainer", 2, loss=2.0)
    assert [(1, {"loss": 1.0})] == bench.rows()


def test_a_source_that_has_caught_up_gates_again():
    """A report above the watermark makes a source count."""
    bench = Bench(hold=0.0)
    bench.add("evaluator", 0, accuracy=0.5)
    bench.add("trainer", 3, loss=3.0)
    assert [(0, {"accuracy": 0.5})] == bench.rows()
    bench.reconciler._watermark._policy = Policy(hold=10.0)
    bench.add("evaluator", 4, accuracy=0.6)
    bench.add("trainer", 9, loss=9.0)
    assert [(3, {"loss": 3.0})] == bench.rows()


def test_only_gating_sources_hold_rows_back():
    """`gating` names the sources whose progress counts."""
    bench = Bench(gating=frozenset({"trainer"}))
    bench.add("evaluator", 0, accuracy=0.5)
    bench.add("trainer", 1, loss=1.0)
    assert [(0, {"accuracy": 0.5})] == bench.rows()


@pytest.mark.parametrize("expected", [2, frozenset({"trainer", "evaluator"})])
def test_an_expected_source_holds_rows_back_before_its_first_report(expected):
    """Early sources do not commit alone, for as long as `hold`."""
    bench = Bench(expected_sources=expected, hold=10.0)
    bench.add("trainer", 0, loss=0.0)
    bench.add("trainer", 1, loss=1.0)
    assert [] == bench.rows()
    bench.add("evaluator", 0, accuracy=0.5)
    assert [] == bench.rows()
    bench.add("evaluator", 1, accuracy=0.6)
    assert [(0, {"loss": 0.0, "accuracy": 0.5})] == bench.rows()


def test_an_expected_source_that_never_comes_delays_by_hold():
    """Nobody blocks for ever."""
    bench = Bench(expected_sources=2, hold=10.0)
    bench.add("trainer", 0, loss=0.0)
    bench.add("trainer", 1, loss=1.0)
    bench.now = 10.0
    assert [(0, {"loss": 0.0})] == bench.rows()
    bench.add("trainer", 2, loss=2.0)
    assert [(1, {"loss": 1.0})] == bench.rows()


def test_a_source_that_was_overtaken_by_a_forced_commit_holds_nothing_back():
    """It is behind the watermark, and gates again when it has caught up."""
    bench = Bench(hold=10.0)
    bench.add("evaluator", 0, accuracy=0.5)
    bench.add("trainer", 5, loss=5.0)
    bench.rows(everything=True)
    bench.add("trainer", 6, loss=6.0)
    bench.add("trainer", 7, loss=7.0)
    assert [(6, {"loss": 6.0})] == bench.rows()


def test_the_higher_priority_wins_whatever_the_order():
    """Smaller numbers are higher; the loser is counted as overridden."""
    bench = Bench()
    bench.add("debug", 0, loss=9.0, priority=10)
    bench.add("trainer", 0, loss=1.0, priority=0)
    bench.add("callback", 0, loss=5.0, priority=5)
    assert [(0, {"loss": 1.0})] == bench.rows(everything=True)
    assert 2 == bench.ledger.overridden


def test_at_equal_priority_the_later_measurement_wins():
    """Later by its own time, not by arrival."""
    bench = Bench()
    bench.add("trainer", 0, loss=2.0, time=20.0)
    bench.add("callback", 0, loss=1.0, time=10.0)
    assert [(0, {"loss": 2.0})] == bench.rows(everything=True)


def test_values_are_ordered_by_priority():
    """The highest priority stands first in the row."""
    bench = Bench()
    bench.add("debug", 0, noise=1.0, priority=10)
    bench.add("trainer", 0, loss=2.0, priority=0)
    bench.add("evaluator", 0, accuracy=3.0, priority=1)
    assert ["loss", "accuracy", "noise"] == list(bench.rows(everything=True)[0][1])


def test_a_late_sample_keeps_its_own_step():
    """Policy `keep`: a row of its own, samples of one step together, before the rows that are due."""
    bench = Bench(late="keep")
    bench.add("trainer", 5, loss=5.0)
    bench.rows(everything=True)
    bench.add("reward", 3, reward=0.3)
    bench.add("reward", 3, kl=0.1)
    bench.add("trainer", 6, loss=6.0)
    assert [(3, {"reward": 0.3, "kl": 0.1}), (6, {"loss": 6.0})] == bench.rows(everything=True)
    assert (2, 1) == (bench.ledger.late, bench.late_rows)


def test_a_late_sample_merged_never_takes_the_place_of_the_rows_own():
    """Policy `merge`: into the next row, where its key is free."""
    bench = Bench(late="merge")
    bench.add("trainer", 5, loss=5.0)
    bench.rows(everything=True)
    bench.add("reward", 3, reward=0.3, loss=3.0, priority=0)
    assert [] == bench.rows()
    bench.add("trainer", 6, loss=6.0)
    assert [(6, {"loss": 6.0, "reward": 0.3})] == bench.rows(everything=True)
    assert 1 == bench.ledger.overridden


def test_a_late_sample_to_be_merged_is_kept_where_no_row_follows():
    """At the end of the run there is no next row."""
    bench = Bench(late="merge")
    bench.add("trainer", 5, loss=5.0)
    bench.rows(everything=True)
    bench.add("reward", 3, reward=0.3)
    assert [(3, {"reward": 0.3})] == bench.rows(everything=True)


def test_a_late_sample_dropped_is_counted():
    """Policy `drop`."""
    bench = Bench(late="drop")
    bench.add("trainer", 5, loss=5.0)
    bench.rows(everything=True)
    bench.add("reward", 3, reward=0.3)
    assert [] == bench.rows(everything=True)
    assert (1, 1) == (bench.ledger.late, bench.ledger.dropped)


def test_a_leap_does_not_drag_the_watermark_along(caplog):
    """A timestamp passed as a step is treated like a late sample, counted, and logged once."""
    bench = Bench(max_step_jump=1_000)
    bench.add("trainer", 1, loss=1.0)
    bench.add("trainer", 1_700_000_000, loss=2.0)
    bench.add("trainer", 1_700_000_001, loss=2.0)
    bench.add("trainer", 2, loss=3.0)
    rows = bench.rows()
    assert [1_700_000_000, 1_700_000_001, 1] == [step for step, _ in rows]
    assert [(2, {"loss": 3.0})] == bench.rows(everything=True)
    assert 2 == bench.ledger.step_leaps
    assert 1 == len(caplog.records)
    assert "max_step_jump" in caplog.text


def test_two_leaps_to_one_step_that_are_found_out_one_after_the_other_are_two_rows():
    """The second does not take the place of the first."""
    bench = Bench(max_step_jump=3)
    for step in (9, 1, 4, 7, 9, 5):
        bench.add("trainer", step, loss=bench.made)
    rows = bench.rows(everything=True)
    assert [(9, 0), (9, 4), (1, 1), (4, 2), (5, 5), (7, 3)] == [(step, row["loss"]) for step, row in rows]
    assert 0 == bench.reconciler.pending


def test_past_max_pending_the_lowest_rows_are_committed_early():
    """Their stragglers become late, not lost."""
    bench = Bench(max_pending=2, hold=100.0)
    bench.add("evaluator", 0, accuracy=0.5)
    for step in range(4):
        bench.add("trainer", step, loss=float(step))
    assert [0, 1] == [step for step, _ in bench.rows()]
    assert 2 == bench.reconciler.pending
    bench.add("evaluator", 1, accuracy=0.6)
    assert (1, {"accuracy": 0.6}) in bench.rows()
    assert 0 == bench.ledger.shed


def test_what_found_no_row_goes_alone_past_max_pending():
    """Riders, and late samples that are to be merged, do not pile up while no row is open."""
    bench = Bench(max_pending=2, late="merge", hold=100.0)
    bench.add("trainer", 5, loss=5.0)
    bench.rows(everything=True)
    bench.add("system", None, cpu=0.5)
    bench.add("reward", 3, reward=0.3)
    assert [] == bench.rows()
    bench.add("reward", 4, reward=0.4)
    assert [(3, {"reward": 0.3}), (4, {"reward": 0.4}), (5, {"cpu": 0.5})] == bench.rows()


def test_shedding_takes_the_lowest_priorities_first():
    """Only what cannot be written is ever shed."""
    bench = Bench()
    bench.add("trainer", 0, loss=0.0, priority=0)
    bench.add("debug", 0, noise=1.0, priority=10)
    bench.add("debug", 1, noise=2.0, priority=10)
    assert 2 == bench.reconciler.shed(2)
    assert [(0, {"loss": 0.0})] == bench.rows(everything=True)
    assert 2 == bench.ledger.shed


def test_an_unstepped_sample_rides_on_the_newest_open_row():
    """Where the run has steps."""
    bench = Bench()
    bench.add("trainer", 7, loss=1.0)
    bench.add("system", None, cpu=0.5)
    assert [(7, {"loss": 1.0, "cpu": 0.5})] == bench.rows(everything=True)


def test_riding_never_overwrites():
    """On a conflict of keys the rider gets a row of its own with the same step, every one of them."""
    bench = Bench()
    bench.add("profiler", None, seconds=0.0)
    bench.add("trainer", 7, loss=1.0)
    bench.add("profiler", None, seconds=0.1, loss=9.0)
    bench.add("profiler", None, seconds=0.2)
    bench.add("trainer", 7, seconds=5.0)
    assert (7, {"loss": 1.0, "seconds": 5.0}) == bench.rows(everything=True)[0]
    assert 0 == bench.ledger.overridden
    assert 6 == bench.ledger.written


def test_an_observable_that_is_read_without_a_step_has_one_reading_a_step():
    """The last before the row: a step that takes long is no row for each collection. (As with a step.)"""
    bench = Bench()
    bench.add("trainer", 7, loss=1.0)
    for memory in (1, 2, 3):
        bench.add("system", None, kind=Kind.READING, memory=memory)
    assert [(7, {"loss": 1.0, "memory": 3})] == bench.rows(everything=True)
    for memory in (4, 5):
        bench.add("system", None, kind=Kind.READING, memory=memory)
    assert [] == bench.rows(everything=True)
    bench.add("trainer", 8, loss=2.0)
    bench.add("system", None, kind=Kind.READING, memory=6)
    assert [(8, {"loss": 2.0, "memory": 6})] == bench.rows(everything=True)
    assert 4 == bench.ledger.overridden
    assert {} == bench.ledger.overridden_by, "nobody is to blame"


def test_an_observable_that_is_read_for_the_first_time_after_the_row_is_heard():
    """No row of the step has a reading of it."""
    bench = Bench(hold=0.0)
    bench.add("trainer", 7, loss=1.0)
    assert [(7, {"loss": 1.0})] == bench.rows(everything=True)
    bench.add("system", None, kind=Kind.READING, memory=1)
    assert [(7, {"memory": 1})] == bench.rows()
    bench.add("system", None, kind=Kind.READING, memory=2)
    assert [] == bench.rows()


def test_readings_go_on_while_anybody_reports_whatever_the_newest_step_is():
    """A source that is ahead of all, a run that is resumed: the newest step is not what the work is at."""
    ahead = Bench(hold=0.0)
    ahead.add("environment", 1_000, frames=1.0)
    ahead.rows(everything=True)
    resumed = Bench(hold=0.0)
    resumed.reconciler.start_at(1_000)
    for bench in (ahead, resumed):
        seen = []
        for step in range(500, 504):
            bench.add("trainer", step, loss=0.5)
            for again in range(2):
                bench.add("system", None, kind=Kind.READING, memory=2 * step + again)
                seen += [values["memory"] for _, values in bench.rows(everything=True) if "memory" in values]
        assert 4 == len(seen)
        assert [500, 501, 502, 503] == [memory // 2 for memory in seen]


@pytest.mark.parametrize("is_read_first", [False, True])
@pytest.mark.parametrize("priority", [0, 5, 10])
def test_a_reading_without_a_step_overwrites_nothing_else(is_read_first, priority):
    """It has a row of its own, as every rider, whatever its priority and whichever came first."""
    bench = Bench()
    bench.add("trainer", 7, lr=0.1)
    calls = [("trainer", 7, {"loss": 1.0}), ("system", None, {"kind": Kind.READING, "loss": 9.0})]
    for source, step, more in reversed(calls) if is_read_first else calls:
        bench.add(source, step, priority=5 if step else priority, **more)
    assert [(7, {"lr": 0.1, "loss": 1.0}), (7, {"loss": 9.0})] == bench.rows(everything=True)
    assert 0 == bench.ledger.overridden


def test_of_the_readings_before_the_first_step_the_last_goes_with_it():
    """They wait for its row."""
    bench = Bench()
    for memory in (1, 2):
        bench.add("system", None, kind=Kind.READING, memory=memory)
    bench.add("profiler", None, seconds=0.1)
    bench.add("trainer", 7, loss=1.0)
    assert [(7, {"loss": 1.0, "memory": 2, "seconds": 0.1})] == bench.rows(everything=True)
    assert (1, 0) == (bench.ledger.overridden, bench.reconciler.pending)


def test_a_reading_after_some_were_shed_takes_no_other_place():
    """The places of those that are left have changed."""
    bench = Bench()
    bench.add("trainer", 7, loss=1.0, priority=0)
    bench.add("a", None, kind=Kind.READING, priority=10, one=1)
    bench.add("b", None, kind=Kind.READING, priority=1, two=1)
    assert 1 == bench.reconciler.shed(1)
    for name in ("one", "two", "one"):
        bench.add(name, None, kind=Kind.READING, **{name: 2})
    ((step, values),) = bench.rows(everything=True)[:1]
    assert (7, {"loss": 1.0, "one": 2}) == (step, {key: values[key] for key in ("loss", "one")})
    assert 0 == bench.reconciler.pending


def test_readings_of_a_run_without_steps_are_rows():
    """There is no step that stands."""
    bench = Bench()
    for memory in (1, 2):
        bench.add("system", None, kind=Kind.READING, memory=memory)
    assert [(None, {"memory": 1}), (None, {"memory": 2})] == bench.rows(everything=True)


def test_each_rider_of_one_key_is_a_row():
    """A key that is reported three times within a step gives three points."""
    bench = Bench()
    bench.add("trainer", 7, loss=1.0)
    for seconds in (0.1, 0.2, 0.3):
        bench.add("profiler", None, seconds=seconds)
    expected = [(7, {"loss": 1.0, "seconds": 0.1}), (7, {"seconds": 0.2}), (7, {"seconds": 0.3})]
    assert expected == bench.rows(everything=True)


def test_a_rider_that_finds_no_row_waits_for_hold_and_goes_alone():
    """All rows are committed and no new one opens: it goes at the newest step."""
    bench = Bench(hold=10.0)
    bench.add("trainer", 7, loss=1.0)
    bench.rows(everything=True)
    bench.add("system", None, cpu=0.5)
    assert [] == bench.rows()
    assert 10.0 == bench.reconciler.deadline()
    bench.now = 10.0
    assert [(7, {"cpu": 0.5})] == bench.rows()


def test_in_a_run_without_steps_each_flush_is_one_row():
    """As W&B itself would number them."""
    bench = Bench()
    bench.add("system", None, cpu=0.5)
    bench.add("system", None, memory=0.7)
    assert [(None, {"cpu": 0.5, "memory": 0.7})] == bench.rows()
    bench.add("system", None, cpu=0.6)
    assert [(None, {"cpu": 0.6})] == bench.rows()


def test_increments_become_the_running_total_at_their_step():
    """Exact at every step, whatever the order of arrival within the open rows."""
    bench = Bench()
    bench.add("trainer", 1, tokens=10, kind=Kind.INCREMENT)
    bench.add("trainer", 0, tokens=5, kind=Kind.INCREMENT)
    bench.add("trainer", 1, tokens=1, kind=Kind.INCREMENT)
    assert [(0, {"tokens": 5}), (1, {"tokens": 16})] == bench.rows(everything=True)
    assert 3 == bench.ledger.written


def test_observations_of_one_step_are_kept_together():
    """The row carries their distribution."""
    bench = Bench()
    bench.add("worker", 0, latency=1.0, kind=Kind.OBSERVATION)
    bench.add("worker", 0, latency=3.0, kind=Kind.OBSERVATION)
    assert [(0, {"latency": Distribution((1.0, 3.0))})] == bench.rows(everything=True)


def test_nested_dicts_of_one_key_are_joined():
    """Two sources may fill in parts of one nested value; where they meet, the later stands."""
    bench = Bench()
    bench.add("a", 0, eval={"x": 1, "y": {"p": 1}})
    bench.add("b", 0, eval={"z": 2, "y": {"q": 2}})
    bench.add("c", 0, eval={"x": 3})
    assert [(0, {"eval": {"x": 3, "y": {"p": 1, "q": 2}, "z": 2}})] == bench.rows(everything=True)


def test_a_row_that_was_not_taken_is_given_again_with_what_has_come_since():
    """A failed commit leaves the row open and first in line."""
    bench = Bench()
    bench.add("trainer", 0, loss=0.0)
    bench.add("trainer", 1, loss=1.0)
    bench.reconciler.advance(0.0)
    assert {"loss": 0.0} == bench.reconciler.peek().values
    bench.add("reward", 0, reward=0.5)
    assert (0, {"loss": 0.0, "reward": 0.5}) == bench.rows()[0]


def test_a_failed_commit_adds_nothing_to_the_row():
    """What goes along is seated in a copy: observations of riders are not counted twice."""
    bench = Bench()
    bench.add("worker", 0, latency=1.0, kind=Kind.OBSERVATION)
    bench.add("worker", None, latency=3.0, kind=Kind.OBSERVATION)
    for _ in range(2):
        bench.reconciler.peek(everything=True)
    assert [(0, {"latency": Distribution((1.0, 3.0))})] == bench.rows(everything=True)


def test_pop_takes_only_what_peek_gave():
    """Calling it alone is a mistake of ours, and says so."""
    with pytest.raises(RuntimeError, match="peek"):
        Bench().reconciler.pop()


def test_steps_below_the_start_of_a_resumed_run_are_late():
    """Those that wait already, and those to come."""
    bench = Bench()
    bench.add("trainer", 3, loss=3.0)
    bench.add("trainer", 12, loss=12.0)
    bench.reconciler.start_at(10)
    bench.add("trainer", 4, loss=4.0)
    bench.add("trainer", 10, loss=10.0)
    rows = bench.rows(everything=True)
    assert [3, 4, 10, 12] == [step for step, _ in rows]
    assert 2 == bench.ledger.late


def test_regressions_jumps_and_duplicates_are_counted():
    """Each source has its own counter."""
    bench = Bench()
    for step in (4, 5, 15, 14, 14):
        bench.add("trainer", step, loss=1.0)
    bench.add("reward", 3, reward=1.0)
    ledger = bench.ledger
    assert (1, 1, 1) == (ledger.step_jumps, ledger.step_regressions, ledger.duplicate_steps)


def test_the_deadline_is_the_end_of_the_first_hold():
    """None where nothing waits for time to pass."""
    bench = Bench(hold=10.0)
    assert bench.reconciler.deadline() is None
    bench.add("evaluator", 0, accuracy=0.5)
    bench.now = 3.0
    bench.add("trainer", 2, loss=1.0)
    bench.reconciler.advance(bench.now)
    assert 13.0 == bench.reconciler.deadline()
    bench.rows(everything=True)
    assert bench.reconciler.deadline() is None


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("late", "ignore"),
        ("hold", -1.0),
        ("hold", float("nan")),
        ("hold", "ten"),
        ("disorder", 1.5),
        ("disorder", True),
        ("max_pending", 0),
        ("max_step_jump", -5),
    ],
)
def test_a_rule_that_cannot_be_followed_is_refused_by_name(option, value):
    """The error names the option and what came."""
    with pytest.raises((TypeError, ValueError), match=f"(?s){option}.*{value}"):
        Policy(**{option: value})


def test_a_rider_of_another_kind_never_overwrites_a_total():
    """Nor the other way round; nothing is left behind."""
    bench = Bench()
    for _ in range(10):
        bench.add("trainer", 1, tokens=5, kind=Kind.INCREMENT)
    bench.add("log", None, tokens=1)
    assert [(1, {"tokens": 50}), (1, {"tokens": 1})] == bench.rows(everything=True)
    assert (11, 0, 0) == (bench.ledger.written, bench.ledger.overridden, bench.reconciler.pending)


def test_a_late_increment_to_be_merged_never_overwrites_a_value():
    """It is overridden, and counted."""
    bench = Bench(late="merge")
    bench.add("trainer", 5, loss=5.0)
    bench.rows(everything=True)
    bench.add("worker", 3, loss=1, kind=Kind.INCREMENT)
    bench.add("trainer", 6, loss=6.0)
    assert [(6, {"loss": 6.0})] == bench.rows(everything=True)
    assert (1, 0) == (bench.ledger.overridden, bench.reconciler.pending)


def test_shedding_takes_riders_of_low_priority_before_values_of_high():
    """Wherever they wait."""
    bench = Bench()
    bench.add("trainer", 0, loss=1.0, important=2.0, priority=0)
    for value in range(20):
        bench.add("debug", None, noise=value, priority=10)
    bench.reconciler.shed(20)
    assert [(0, {"loss": 1.0, "important": 2.0})] == bench.rows(everything=True)


def test_a_timestamp_as_the_very_first_step_is_found_out():
    """As soon as a real step comes; it goes to a row of its own and no longer counts as progress."""
    bench = Bench(max_step_jump=1_000)
    bench.add("oops", 1_700_000_000, bad=1.0)
    for step in range(3):
        bench.add("trainer", step, loss=float(step))
    assert [(1_700_000_000, {"bad": 1.0}), (0, {"loss": 0.0}), (1, {"loss": 1.0})] == bench.rows()
    assert (1, 1) == (bench.ledger.step_leaps, bench.ledger.late)


@pytest.mark.parametrize("is_shed", [False, True])
def test_the_steps_before_a_leap_of_the_same_source_stand(is_shed):
    """What has no step goes to the newest of them, whether or not its row is still there."""
    bench = Bench(max_step_jump=3)
    for step, tokens in ((1, 1), (4, 2)):
        bench.add("trainer", step, kind=Kind.INCREMENT, tokens=tokens)
    if is_shed:
        assert 1 == bench.reconciler.shed(1)
    bench.add("trainer", 0, kind=Kind.INCREMENT, tokens=4)
    bench.add("trainer", None, kind=Kind.INCREMENT, tokens=8)
    rows = [(step, values["tokens"]) for step, values in bench.rows(everything=True)]
    assert (1, 15) == rows[-1]
