"""Several processes report the same keys at the same steps."""

import math
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.reconcile import Policy, Reconciler, Reductions
from otel_wandb_bridge.reconcile.closed_rows import ClosedRows
from otel_wandb_bridge.reconcile.open_row import OpenRow
from otel_wandb_bridge.reconcile.refusal import reject
from otel_wandb_bridge.records import Bundle, Distribution, Kind, Manner, Sample
from otel_wandb_bridge.sources import Process


def rank(number, *, world_size=2, name="trainer", instance=None):
    """A component of one rank."""
    instance = instance or f"i{number}"
    return Process("train", instance, number, world_size).source(name)


class Bench:
    """A reconciler with a clock that the test moves."""

    def __init__(self, reduce=None, **rules):
        self.ledger = Ledger()
        self.reconciler = Reconciler(Policy(reduce=Reductions(reduce), **rules), self.ledger)
        self.now = 0.0

    def add(self, source, step, *, priority=5, kind=Kind.VALUE, **values):
        self.now += 1.0
        samples = [
            Sample(source, step, key, value, priority, self.now, kind) for key, value in values.items()
        ]
        self.ledger.recorded += len(samples)
        self.reconciler.add(samples, 0.0)

    def rows(self, *, everything=True, at=0.0):
        """Commit what is due: (step, values) of each row."""
        self.reconciler.advance(at)
        committed = []
        while (row := self.reconciler.peek(everything=everything)) is not None:
            committed.append((row.step, dict(row.values)))
            self.reconciler.pop()
        return committed

    def ends(self):
        ledger = self.ledger
        rejected = sum(ledger.rejected.values())
        ends = ledger.written + ledger.overridden + ledger.dropped + ledger.shed + rejected
        return ends + self.reconciler.pending


def test_what_all_ranks_report_of_a_key_is_reduced():
    """By default to the mean, with min and max beside it; nothing is overridden."""
    bench = Bench()
    for number in range(2):
        bench.add(rank(number), 0, loss=1.0 + 2 * number, lr=0.1)
    assert [
        (0, {"loss": 2.0, "lr": 0.1, "loss/min": 1.0, "loss/max": 3.0, "lr/min": 0.1, "lr/max": 0.1})
    ] == bench.rows()
    assert (4, 0) == (bench.ledger.written, bench.ledger.overridden)


def test_a_reduction_is_declared_by_key_or_pattern():
    """And a value of one rank alone stands as it is."""
    bench = Bench({"tokens": "sum", "time/*": ("mean", "max")})
    bench.add(rank(0), 0, tokens=10, lr=0.1, **{"time/step": 1.0})
    bench.add(rank(1), 0, tokens=30, **{"time/step": 3.0})
    assert [(0, {"tokens": 40, "lr": 0.1, "time/step": 2.0, "time/step/max": 3.0})] == bench.rows()


def test_a_row_says_how_many_ranks_contributed_where_not_all_did():
    """Three of four: under `bridge/ranks`."""
    bench = Bench({"loss": "mean"})
    for number in range(3):
        bench.add(rank(number, world_size=4), 0, loss=float(number))
    assert [(0, {"loss": 1.0, "bridge/ranks": 3})] == bench.rows()


def test_components_of_one_rank_are_one_share():
    """Within a process the higher priority wins, then the later measurement, as ever."""
    bench = Bench({"loss": "sum"})
    bench.add(rank(0), 0, loss=1.0)
    bench.add(rank(0, name="callback"), 0, loss=2.0)
    bench.add(rank(1), 0, loss=10.0)
    assert [(0, {"loss": 12.0})] == bench.rows()
    assert 1 == bench.ledger.overridden


def test_a_restarted_rank_takes_the_place_of_its_former_self():
    """A new instance id is a new source, but the same rank: its step again is not a second share."""
    bench = Bench({"loss": "sum"})
    bench.add(rank(0), 3, loss=1.0)
    bench.add(rank(1), 3, loss=10.0)
    bench.add(rank(1, instance="restarted"), 3, loss=20.0)
    assert [(3, {"loss": 21.0})] == bench.rows()
    assert 3 == len(bench.reconciler.sources)


def test_processes_without_a_rank_are_told_apart_by_their_instance():
    """Four rollout servers are four shares, under their instance on request."""
    bench = Bench({"queue": ("sum", "per_rank")})
    for instance in ("a", "b"):
        bench.add(Process("rollout", instance).source("server"), 0, queue=2)
    assert [(0, {"queue": 4, "a/queue": 2, "b/queue": 2})] == bench.rows()


def test_increments_of_all_ranks_add_up_to_one_running_total():
    """And stay exact where a rank adds nothing at a step."""
    bench = Bench()
    bench.add(rank(0), 0, kind=Kind.INCREMENT, tokens=1)
    bench.add(rank(1), 0, kind=Kind.INCREMENT, tokens=10)
    bench.add(rank(0), 1, kind=Kind.INCREMENT, tokens=2)
    rows = bench.rows()
    assert [(0, 11), (1, 13)] == [(step, values["tokens"]) for step, values in rows]
    assert {"tokens": 13, "bridge/ranks": 1} == rows[1][1]


def test_declared_statistics_of_a_counter_are_over_the_totals_of_the_ranks():
    """The sum is that of all ranks, whoever added at the step."""
    bench = Bench({"tokens": ("sum", "max", "per_rank")})
    bench.add(rank(0), 0, kind=Kind.INCREMENT, tokens=1)
    bench.add(rank(1), 0, kind=Kind.INCREMENT, tokens=10)
    bench.add(rank(0), 1, kind=Kind.INCREMENT, tokens=2)
    rows = bench.rows()
    assert {"tokens": 11, "tokens/max": 10, "rank_0/tokens": 1, "rank_1/tokens": 10} == rows[0][1]
    assert {"tokens": 13, "tokens/max": 3, "rank_0/tokens": 3, "bridge/ranks": 1} == rows[1][1]


def test_observations_of_all_ranks_are_one_distribution():
    """With that of each rank on request."""
    bench = Bench({"latency": "per_rank"})
    for number in range(2):
        bench.add(rank(number), 0, kind=Kind.OBSERVATION, latency=float(number))
        bench.add(rank(number), 0, kind=Kind.OBSERVATION, latency=5.0)
    ((_, values),) = bench.rows()
    assert Distribution((0.0, 5.0, 1.0, 5.0)) == values["latency"]
    assert Distribution((1.0, 5.0)) == values["rank_1/latency"]


def test_of_what_cannot_be_reduced_the_latest_stands_and_the_rest_is_counted():
    """Text, for one."""
    bench = Bench()
    bench.add(rank(0), 0, note="one", loss=1.0)
    bench.add(rank(1), 0, note="two")
    assert [(0, {"note": "two", "loss": 1.0})] == bench.rows()
    assert (2, 1) == (bench.ledger.written, bench.ledger.overridden)


def test_a_weight_is_the_increment_or_value_of_the_same_rank_at_the_same_step():
    """A mean over tokens, whether these are counted or said."""
    bench = Bench({"loss": "mean(weight=tokens)", "tokens": "sum"})
    for step in range(2):
        bench.add(rank(0), step, loss=1.0)
        bench.add(rank(1), step, loss=4.0)
        bench.add(rank(0), step, kind=Kind.INCREMENT, tokens=2)
        bench.add(rank(1), step, kind=Kind.INCREMENT, tokens=1)
    assert [(0, {"loss": 2.0, "tokens": 3}), (1, {"loss": 2.0, "tokens": 6})] == bench.rows()


def test_a_rank_without_the_weight_is_left_out_of_the_mean_and_said(caplog):
    """Once."""
    bench = Bench({"loss": "mean(weight=tokens)"})
    bench.add(rank(0), 0, loss=1.0, tokens=5)
    bench.add(rank(1), 0, loss=4.0)
    assert 1.0 == bench.rows()[0][1]["loss"]
    assert "'tokens'" in caplog.text


def test_a_key_that_somebody_reports_is_not_overwritten_by_a_statistic():
    """`loss/max` reported stands before ours."""
    bench = Bench()
    bench.add(rank(0), 0, loss=1.0, **{"loss/max": 7.0})
    bench.add(rank(1), 0, loss=2.0)
    assert 7.0 == bench.rows()[0][1]["loss/max"]


def test_early_ranks_do_not_commit_alone():
    """Two components of one rank are not two of the ranks that are expected."""
    bench = Bench(expected_sources=2, hold=10.0)
    for step in range(3):
        bench.add(rank(0), step, loss=1.0)
        bench.add(rank(0, name="callback"), step, lr=0.1)
    assert [] == bench.rows(everything=False)
    bench.add(rank(1), 1, loss=1.0)
    assert [0] == [step for step, _ in bench.rows(everything=False)]


def test_other_services_are_not_taken_for_ranks_that_are_expected():
    """Two rollout servers and rank 0 are not three ranks."""
    bench = Bench(expected_ranks=3, hold=10.0)
    for step in range(2):
        bench.add(rank(0), step, loss=1.0)
        for instance in ("a", "b"):
            bench.add(Process("rollout", instance).source("server"), step, queue=1)
    assert [] == bench.rows(everything=False)
    for number in (1, 2):
        bench.add(rank(number), 1, loss=1.0)
    assert [0] == [step for step, _ in bench.rows(everything=False)]


def test_in_a_resumed_run_early_ranks_do_not_commit_alone_either():
    """That the run has rows of before does not mean that everybody is there."""
    bench = Bench(expected_sources=2, hold=10.0)
    bench.reconciler.start_at(5)
    for step in range(5, 8):
        bench.add(rank(0), step, loss=1.0)
    assert [] == bench.rows(everything=False)
    bench.add(rank(1), 6, loss=1.0)
    assert [5] == [step for step, _ in bench.rows(everything=False)]


def test_a_rank_that_never_comes_holds_rows_back_for_hold_alone():
    """Nobody blocks for ever."""
    bench = Bench(expected_sources=2, hold=10.0)
    bench.add(rank(0), 0, loss=1.0)
    bench.add(rank(0), 1, loss=1.0)
    assert [0] == [step for step, _ in bench.rows(everything=False, at=10.0)]


def test_sources_are_named_by_their_component_in_gating_and_expected():
    """All trainers of all ranks, by one word."""
    bench = Bench(gating=frozenset({"trainer"}), expected_sources=frozenset({"trainer"}))
    bench.add(rank(0, name="evaluator"), 0, accuracy=0.5)
    bench.add(rank(0), 0, loss=1.0)
    bench.add(rank(0), 1, loss=1.0)
    bench.add(rank(1), 1, loss=1.0)
    assert [0] == [step for step, _ in bench.rows(everything=False)]


def test_the_row_of_a_late_rank_has_what_all_have_reported_by_then():
    """At its own step; keys of which nothing new has come are not written again."""
    bench = Bench({"loss": ("mean", "per_rank")}, hold=0.0)
    bench.add(rank(0, world_size=3), 0, loss=1.0, lr=0.1)
    bench.add(rank(0, world_size=3), 0, kind=Kind.OBSERVATION, latency=1.0)
    bench.add(rank(0, world_size=3), 1, loss=1.0)
    bench.rows(everything=False, at=1.0)
    bench.add(rank(1, world_size=3), 0, loss=3.0)
    bench.add(rank(1, world_size=3), 0, kind=Kind.OBSERVATION, latency=2.0)
    ((step, values),) = bench.rows(everything=False, at=1.0)
    assert 0 == step
    distribution = Distribution((1.0, 2.0))
    means = {"loss": 2.0, "rank_0/loss": 1.0, "rank_1/loss": 3.0}
    assert {**means, "latency": distribution, "bridge/ranks": 2} == values
    bench.add(rank(2, world_size=3), 0, loss=5.0)
    assert 3.0 == bench.rows(everything=False, at=1.0)[0][1]["loss"]
    bench.rows()
    assert bench.ledger.recorded == bench.ledger.written == bench.ends()


def test_a_late_repetition_takes_the_place_of_what_the_same_rank_had_said():
    """By priority, then by the later measurement, as in one row."""
    bench = Bench({"loss": "mean"}, hold=0.0)
    for step in range(2):
        for number in range(2):
            bench.add(rank(number), step, loss=1.0 + number)
    bench.rows(everything=False, at=1.0)
    bench.add(rank(1, instance="restarted"), 0, loss=5.0)
    assert {"loss": 3.0} == bench.rows(everything=False, at=1.0)[0][1]
    bench.add(rank(1), 0, priority=9, loss=100.0)
    assert {"loss": 3.0} == bench.rows(everything=False, at=1.0)[0][1]
    bench.rows()
    assert 1 == bench.ledger.overridden
    assert bench.ledger.recorded == bench.ends()


def test_exports_in_any_order_end_in_the_same_values():
    """The last row of a step has the reduction over all ranks."""
    bench = Bench({"loss": ("mean", "count"), "tokens": "sum"}, hold=0.0)
    for number in (1, 0, 2):
        for step in (3, 1, 0, 2):
            bench.add(rank(number, world_size=3), step, loss=float(number + step))
            bench.add(rank(number, world_size=3), step, kind=Kind.INCREMENT, tokens=1)
            bench.written = [*getattr(bench, "written", ()), *bench.rows(everything=False, at=99.0)]
    last = {}
    for step, values in [*bench.written, *bench.rows()]:
        last.setdefault(step, {}).update(values)
    for step in range(4):
        assert (step + 1.0, 3) == (last[step]["loss"], last[step]["loss/count"])
    assert 12 == last[3]["tokens"]


def test_what_is_remembered_of_closed_rows_is_bounded():
    """The rows longest ago go first; a share for them stands alone."""
    closed = ClosedRows(bound=10)
    for step in range(100):
        row = OpenRow(step)
        row.merge(Sample(rank(0), step, "loss", 1.0, 5, 1.0))
        row.merge(Sample(rank(0), step, "latency", 1.0, 5, 1.0, Kind.OBSERVATION))
        closed.remember(row)
    assert 5 == len(closed._rows)
    assert 10 == closed._size
    late = OpenRow(0, late=True)
    late.merge(Sample(rank(1), 0, "loss", 1.0, 5, 1.0))
    assert {} == closed.before(late)


def test_riders_of_several_ranks_are_reduced_in_the_row_they_ride_on():
    """What has no step meets in the newest row, a share each."""
    bench = Bench({"memory": "sum"})
    bench.add(rank(0), 0, loss=1.0)
    for number in range(2):
        bench.add(rank(number), None, memory=2.0)
    assert 4.0 == bench.rows()[0][1]["memory"]


def test_a_call_as_a_whole_is_a_share_for_each_of_its_keys():
    """Bundles of several processes are reduced like samples."""
    bench = Bench({"loss": "sum"})
    for number in range(2):
        for manner in (Manner.JOINS, Manner.RIDES):
            bundle = Bundle(rank(number), 0, {"loss": 1.0, "lr": 0.5}, 5, float(number), manner)
            bench.ledger.recorded += 2
            bench.reconciler.add([bundle], 0.0)
    ((_, values),) = bench.rows()
    assert 2.0 == values["loss"]
    assert bench.ledger.recorded == bench.ends()


def test_shares_are_shed_and_refused_like_any_sample():
    """Nothing is lost uncounted."""
    bench = Bench()
    bench.add(rank(0), 0, loss=1.0, note="one", priority=9)
    bench.add(rank(1), 0, loss=2.0, note="two")
    assert 1 == bench.reconciler.shed(1)
    bench.reconciler.advance(0.0)
    row = bench.reconciler.peek(everything=True)
    bench.reconciler.pop()
    reject(row, {"note": TypeError("no")}, bench.ledger)
    assert bench.ledger.recorded == bench.ends()
    assert 0 == bench.reconciler.pending


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),  # rank
            st.integers(0, 5),  # step
            st.sampled_from(("loss", "note", "tokens")),
            st.booleans(),  # flush after it
            st.sampled_from(("a", "b")),  # instance
        ),
        max_size=40,
    ),
    st.sampled_from(("keep", "merge", "drop")),
)
@settings(max_examples=200, deadline=None)
def test_every_share_is_accounted_for_and_no_increment_is_lost(reports, late):
    """For every interleaving of ranks, instances and flushes."""
    bench = Bench({"loss": ("mean", "count")}, late=late, hold=0.0)
    added = 0
    last = {}
    shares = defaultdict(dict)
    for number, step, key, flush, instance in reports:
        source = rank(number, world_size=4, instance=f"{number}{instance}")
        if key == "tokens":
            added += 1
            bench.add(source, step, kind=Kind.INCREMENT, tokens=1)
        else:
            value = bench.now if key == "loss" else f"at {bench.now}"
            bench.add(source, step, **{key: value})
            if key == "loss":
                shares[step][number] = value
        if flush:
            for _, values in bench.rows(everything=False):
                last |= values
        assert bench.ledger.recorded == bench.ends()
    rows = bench.rows()
    for step, values in rows:
        if not any(flush for *_, flush, _ in reports) and "loss" in values:
            assert math.fsum(shares[step].values()) / len(shares[step]) == pytest.approx(values["loss"])
            assert len(shares[step]) == values["loss/count"]
        last |= values
    assert 0 == bench.reconciler.pending
    assert bench.ledger.recorded == bench.ends()
    if late != "drop" and added and not any(flush for *_, flush, _ in reports):
        assert added == last["tokens"]


def test_ranks_that_say_how_many_they_are_are_waited_for():
    """Where nobody said who is expected: from the first report of one of them, for `hold` at most."""
    for at, committed in ((9.0, []), (10.0, [0, 1])):
        bench = Bench(awaits_ranks=True, hold=10.0)
        for step in range(3):
            bench.add(rank(0), step, loss=1.0)
        assert committed == [step for step, _ in bench.rows(everything=False, at=at)]
    bench = Bench(awaits_ranks=True, hold=10.0)
    for number in (0, 1):
        for step in range(3):
            bench.add(rank(number), step, loss=1.0)
    assert [0, 1] == [step for step, _ in bench.rows(everything=False)]
    assert 0 == bench.ledger.late


def test_ranks_are_waited_for_after_the_first_report_of_another_who_is_none():
    """The process that serves reports as well; it stands at step 0 when the first of them comes."""
    bench = Bench(awaits_ranks=True, hold=10.0)
    bench.add("leader", 0, queue=1)
    assert [] == bench.rows(everything=False)
    for step in range(3):
        bench.add(rank(0), step, loss=1.0)
    bench.add("leader", 3, queue=1)
    assert [] == bench.rows(everything=False)
    bench.add(rank(1), 2, loss=1.0)
    assert [0, 1] == [step for step, _ in bench.rows(everything=False)]


def test_the_ranks_of_each_service_are_counted_by_themselves():
    """Two trainers are waited for, and four evaluators; a rank that starts again is no other."""
    bench = Bench(awaits_ranks=True, hold=10.0)
    evaluators = [Process("eval", f"e{each}", each, 4).source("eval") for each in range(4)]
    for source in (rank(0), rank(1), evaluators[0], rank(0, instance="again"), *evaluators[1:3]):
        bench.add(source, 1, loss=1.0)
        assert [] == bench.rows(everything=False)
    bench.add(evaluators[3], 1, loss=1.0)
    bench.add(rank(1), 0, loss=1.0)
    assert [0] == [step for step, _ in bench.rows(everything=False)]


def test_ranks_are_not_waited_for_where_nobody_asks():
    """`expected_sources=0`, or a process that no others report to."""
    bench = Bench(hold=10.0)
    for step in range(3):
        bench.add(rank(0), step, loss=1.0)
    assert [0, 1] == [step for step, _ in bench.rows(everything=False)]
