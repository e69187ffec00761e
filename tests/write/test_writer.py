"""Rows to a run: monotonic, complete, on their axis."""

import math
import weakref

import numpy
import pytest
from watched_run import WatchedRun

from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.patterns import ByKey
from otel_wandb_bridge.records import Buckets, Distribution, Row
from otel_wandb_bridge.testing import FakeRun
from otel_wandb_bridge.write.outbox import BATCH, BATCH_SAMPLES
from otel_wandb_bridge.write.writer import RunWriter


def row(step, *, late=False, time=0.0, **values):
    return Row(step, values, time, len(values), late)


def writer_of(run):
    """A writer that says which keys were refused."""
    writer = RunWriter(run, "global_step", Ledger())
    writer.refused = {}
    writer.on_refused = lambda row, refused: writer.refused.update(refused)
    return writer


def write(writer, *rows):
    for each in rows:
        writer.take(each)
        assert writer.flush()


def written(run):
    return [(row["_step"], row.get("global_step")) for row in run.rows]


def test_a_row_is_one_sealed_call_at_its_own_step():
    """`_step` is the training step, and the axis says it too."""
    run = FakeRun()
    writer = writer_of(run)
    write(writer, row(3, loss=1.0))
    assert [{"_step": 3, "loss": 1.0, "global_step": 3}] == run.rows
    write(writer, row(4, loss=2.0))
    assert (2, 2) == (run.calls, writer._ledger.log_calls)


def test_a_late_row_takes_the_next_free_number_and_carries_its_true_step():
    """W&B takes no lower `_step`."""
    run = FakeRun()
    writer = writer_of(run)
    write(writer, row(5, loss=5.0))
    write(writer, row(2, late=True, reward=2.0))
    write(writer, row(6, loss=6.0))
    write(writer, row(9, loss=9.0))
    assert [(5, 5), (6, 2), (7, 6), (9, 9)] == written(run)
    assert [] == run.dropped


def test_a_leap_does_not_use_up_the_numbers_to_come():
    """A timestamp as a step is written at the next free number."""
    run = FakeRun()
    writer = writer_of(run)
    write(writer, row(1, loss=1.0))
    write(writer, row(1_700_000_000, late=True, loss=2.0))
    write(writer, row(3, loss=3.0))
    assert [(1, 1), (2, 1_700_000_000), (3, 3)] == written(run)


def test_steps_that_a_foreign_writer_used_up_are_learnt_before_a_flush():
    """A plain run.log between flushes makes W&B drop none of our rows."""
    run = FakeRun()
    writer = writer_of(run)
    writer.begin()
    write(writer, row(0, loss=0.0))
    for value in range(3):
        run.log({"foreign": value})
    writer.begin()
    write(writer, row(1, loss=1.0))
    assert [] == run.dropped
    assert (4, 1) == written(run)[-1]
    assert 3 == writer._ledger.foreign_steps
    run.log({"foreign": 3})
    writer.begin()
    assert 4 == writer._ledger.foreign_steps


def test_a_foreign_call_has_wandb_asked_for_its_step_once():
    """And not before each row from then on; where there was none, not at all."""
    run = WatchedRun()
    writer = writer_of(run)
    asked = run.asked
    write(writer, row(0, loss=0.0))
    assert asked == run.asked
    run.log({"foreign": 1})
    write(writer, *(row(step, loss=1.0) for step in range(1, 5)))
    writer.close()
    assert asked + 1 == run.asked
    assert [2, 3, 4, 5] == [row["_step"] for row in run.rows if row.get("loss") == 1.0]


def test_a_row_that_a_foreign_call_has_left_open_is_not_joined_and_costs_one_number():
    """Once a row of ours has sealed it, there is none in the making any more."""
    run = WatchedRun()
    writer = writer_of(run)
    run.log({"foreign": 1}, step=3)
    for step in (3, 4, 5):
        writer.begin()
        write(writer, row(step, loss=1.0))
    writer.close()
    assert [(3, None), (4, 3), (5, 4), (6, 5)] == written(run)


@pytest.mark.parametrize("starting_step", [0, None, "none"])
def test_a_row_that_was_left_open_before_us_is_not_joined(starting_step):
    """Nobody has watched; a version of W&B that does not say where the run started is no other case."""
    run = FakeRun()
    run.starting_step = starting_step
    if starting_step == "none":
        del run.starting_step
    run.log({"foreign": 1}, step=1)
    write(writer_of(run), row(1, loss=1.0))
    assert [{"_step": 1, "foreign": 1}, {"_step": 2, "loss": 1.0, "global_step": 1}] == run.rows


def test_a_resumed_run_starts_at_its_own_step():
    """`starting_step` counts even where `run.step` does not know yet."""
    run = FakeRun(starting_step=10)
    writer = writer_of(run)
    assert 10 == writer.starting_step
    write(writer, row(4, late=True, loss=4.0))
    assert [(10, 4)] == written(run)


def test_a_run_that_others_have_written_goes_on_where_they_stopped():
    """W&B does not know of rows that lie in another file: neither its step nor ours begins below them."""
    run = FakeRun(starting_step=3)
    writer = writer_of(run)
    writer.continue_at(7)
    assert 7 == writer.starting_step
    write(writer, row(4, late=True, loss=4.0))
    write(writer, row(7, loss=7.0))
    writer.continue_at(2)
    assert 7 == writer.starting_step
    write(writer, row(5, late=True, loss=5.0))
    write(writer, row(10, loss=10.0))
    assert [(7, 4), (8, 7), (9, 5), (10, 10)] == written(run)


def test_a_shared_run_takes_no_step():
    """W&B ignores `step=` there and numbers the rows itself."""
    run = FakeRun()
    run.settings.mode = "shared"
    calls = []
    run.log = lambda data, step=None, commit=None: calls.append((step, commit, data["global_step"]))
    writer = writer_of(run)
    assert 0 == writer.starting_step
    writer.begin()
    write(writer, row(7, loss=1.0))
    assert [(None, True, 7)] == calls


def test_each_key_is_defined_once_on_the_axis_by_its_own_name():
    """Dots are escaped, since W&B reads them as nesting; step_sync is off."""
    run = FakeRun()
    writer = writer_of(run)
    write(writer, row(0, **{"train/loss": 1.0, "a.b": 2.0, "glob*": 3.0}))
    write(writer, row(1, **{"train/loss": 1.0}))
    defined = {name: options["step_metric"] for name, options in run.metrics.items()}
    assert {"global_step": None, "train/loss": "global_step", "a\\.b": "global_step"} == defined
    assert run.metrics["train/loss"]["step_sync"] is False


def test_a_row_without_a_step_has_no_axis():
    """Nor are its keys put on one, where they would not be seen."""
    run = FakeRun()
    writer = writer_of(run)
    write(writer, row(None, cpu=0.5))
    write(writer, row(None, cpu=0.6))
    assert [{"_step": 0, "cpu": 0.5}, {"_step": 1, "cpu": 0.6}] == run.rows
    assert "cpu" not in run.metrics


def test_a_row_carries_the_time_of_its_measurements():
    """And not that of the flush; what the user logged as `_timestamp` stands; what is no time is left out."""
    seen = []
    run = FakeRun()
    run.log = lambda data, step=None, commit=None: seen.append(data)
    writer = writer_of(run)
    write(writer, row(0, time=1_700_000_000.5, loss=1.0))
    write(writer, row(1, time=1_700_000_000.5, _timestamp=42.0))
    assert [1_700_000_000.5, 42.0] == [data["_timestamp"] for data in seen]
    for time in (0.0, -1.0, math.inf, math.nan):
        write(writer, row(2, time=time, loss=1.0))
        assert "_timestamp" not in seen[-1]


def test_the_summary_ends_with_the_value_of_the_highest_step():
    """Whatever was late, in any order."""
    run = FakeRun()
    writer = writer_of(run)
    for each in (
        row(5, loss=5.0, reward=0.5),
        row(2, late=True, reward=0.2),
        row(3, late=True, only_late=3.0),
        row(1, late=True, only_late=1.0),
        row(1_700_000_000, late=True, loss=99.0),
    ):
        write(writer, each)
    writer.end()
    summary = {key: run.summary.get(key) for key in ("loss", "reward", "only_late", "global_step")}
    assert {"loss": 5.0, "reward": 0.5, "only_late": 3.0, "global_step": 5} == summary


def test_a_leap_does_not_stand_in_the_summary_even_after_the_first_step():
    """Step 0 is a step to go by."""
    run = FakeRun()
    writer = writer_of(run)
    write(writer, row(0, loss=0.5), row(1_700_000_000, late=True, loss=99.0))
    writer.end()
    assert (0.5, 0) == (run.summary["loss"], run.summary["global_step"])


@pytest.mark.parametrize(
    "between", [(), (row(7, reward=1.0),)], ids=["of the highest step", "of a lower one"]
)
def test_of_two_rows_of_one_step_the_later_one_stands_in_the_summary(between):
    """The second is late, as it found its key taken; a lower row does not bring back the first."""
    run = FakeRun()
    writer = writer_of(run)
    write(writer, row(5, loss=1.0), *between, row(5, late=True, loss=2.0), row(3, late=True, loss=3.0))
    writer.end()
    assert 2.0 == run.summary["loss"]


def test_a_row_with_media_counts_for_the_summary_as_any_other():
    """It is the newest now, above the rows before it, for all of its keys and for those that come late."""
    run = FakeRun()
    writer = writer_of(run)
    write(writer, row(4, loss=4.0), row(6, loss=6.0, media=["six"]))
    write(writer, row(5, late=True, reward=5.0), row(3, late=True, loss=3.0, reward=3.0, media=["three"]))
    writer.end()
    shown = [run.summary[key] for key in ("loss", "reward", "media", "global_step")]
    assert [6.0, 5.0, ["six"], 6] == shown


def test_a_key_that_is_summed_up_otherwise_keeps_that():
    """`summary="max"` makes a mapping of it, and `summary="none"` nothing: W&B itself keeps both right."""
    run = FakeRun()
    writer = writer_of(run)

    def as_wandb_does():
        run.summary.update({"greatest": {"max": 9.0}})
        for key in ("nothing", "media"):
            run.summary._items.pop(key)

    write(writer, row(5, greatest=9.0, nothing=1.0, media=["five"]))
    as_wandb_does()
    write(writer, row(2, late=True, greatest=5.0, nothing=2.0, media=["two"]))
    as_wandb_does()
    writer.end()
    assert {"max": 9.0} == run.summary["greatest"]
    assert {"nothing", "media"}.isdisjoint(run.summary.keys())


def test_a_summary_that_wandb_does_not_take_is_said_once_and_never_raised(caplog):
    """Neither what late rows have overwritten, nor what is no row's."""
    run = FakeRun()
    writer = writer_of(run)

    def refuse(values):
        raise ConnectionError("no summary today")

    for _ in range(2):
        write(writer, row(5, loss=5.0), row(2, late=True, loss=2.0))
        run.summary.update, update = refuse, run.summary.update
        writer.end()
        writer.put_into_summary({"counts": 1})
        run.summary.update = update
    said = [record.getMessage() for record in caplog.records if "no summary today" in record.getMessage()]
    assert 2 == len(said)


def test_the_summary_forgets_what_late_rows_overwrote_once_newer_rows_have_come():
    """The axis is at the newest of several rows, before a late one and after it."""
    run = FakeRun()
    writer = writer_of(run)
    for step in (4, 5):
        write(writer, row(step, loss=float(step)))
    write(writer, row(2, late=True, loss=2.0))
    writer.end()
    assert (5.0, 5) == (run.summary["loss"], run.summary["global_step"])
    write(writer, row(3, late=True, loss=3.0))
    write(writer, row(6, loss=6.0))
    writer.end()
    assert (6.0, 6) == (run.summary["loss"], run.summary["global_step"])


def test_the_summary_ends_with_the_total_that_a_late_increment_is_in():
    """The row of the highest step was written before it came."""
    run = FakeRun()
    writer = writer_of(run)
    write(writer, row(9, tokens=100, loss=1.0))
    write(writer, Row(3, {"tokens": 35, "loss": 2.0}, 0.0, 2, late=True, totals={"tokens": 105}))
    write(writer, Row(4, {"tokens": 46}, 0.0, 1, late=True, totals={"tokens": 106}))
    writer.end()
    assert (106, 1.0, 9) == tuple(run.summary[key] for key in ("tokens", "loss", "global_step"))


def test_the_running_totals_of_the_rows_before_are_known():
    """From the summary; of what is summed up otherwise, the greatest; 0 where there is no number."""
    run = FakeRun(starting_step=10)
    run.summary.update({"tokens": 7, "requests": {"max": 9, "min": 1}, "rate": {"last": 2.5, "max": 3}})
    run.summary.update({"name": "x", "done": True, "bad": math.nan, "odd": {"mean": 1}})
    writer = writer_of(run)
    assert [7, 9, 2.5] == [writer.total(key) for key in ("tokens", "requests", "rate")]
    assert [0, 0, 0, 0, 0] == [writer.total(key) for key in ("name", "done", "bad", "odd", "absent")]


def test_a_value_that_is_no_scalar_is_restored_in_the_summary_too():
    """As W&B described it when it was logged."""
    run = FakeRun()
    writer = writer_of(run)
    write(writer, row(5, media=["five"]))
    write(writer, row(2, late=True, media=["two"]))
    write(writer, row(3, late=True, media=["three"]))
    writer.end()
    assert ["five"] == run.summary.get("media")


def test_what_was_written_is_not_kept_alive():
    """Media may be large, and rows are many."""
    run = FakeRun()
    writer = writer_of(run)
    array = numpy.arange(3)
    kept = weakref.ref(array)
    write(writer, row(0, loss=0.0, array=array))
    del array
    assert kept() is None
    for step in range(1, 500):
        write(writer, row(step, loss=1.0))
    assert len(writer._summary._rows) <= 100


def test_a_failed_row_is_written_at_the_next_try():
    """Nothing of it is in the run before, and once after."""
    run = FakeRun()
    writer = writer_of(run)
    run.fail_next(1, ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        write(writer, row(0, loss=0.0))
    assert [] == run.rows
    assert 1 == writer.unconfirmed
    assert not writer.has_room_for(row(1, loss=1.0))
    assert writer.flush()
    writer.take(row(1, loss=1.0))
    assert writer.has_room_for(row(2, loss=2.0))
    assert writer.flush()
    assert [(0, 0), (1, 1)] == written(run)


def test_one_value_that_wandb_cannot_take_does_not_hold_up_the_rest():
    """It is refused by name; the row is written without it."""
    run = FakeRun()
    writer = writer_of(run)
    write(writer, row(0, loss=0.0, bad=object(), media=["fine"]))
    assert ["bad"] == list(writer.refused)
    assert [{"_step": 0, "loss": 0.0, "media": ["fine"], "global_step": 0}] == run.rows


def test_a_refused_value_costs_the_rest_nothing_where_nobody_asks_for_it():
    """A writer tells only who wants to know."""
    run = FakeRun()
    writer = RunWriter(run, "global_step", Ledger(), histograms=ByKey(("std",)))
    writer.take(row(0, loss=0.0, bad=object()))
    writer.take(row(1, loss=1.0, unknown=Distribution((Buckets((), 3, 6.0),))))
    writer.tell()
    assert 4 == writer.unconfirmed
    assert writer.flush()
    assert [(0, 0.0), (1, 1.0)] == [(row["global_step"], row["loss"]) for row in run.rows]


class FailingRun(FakeRun):
    """W&B fails for some of the values, with an error that says nothing of them."""

    def __init__(self, fails):
        super().__init__()
        self.fails = fails

    def log(self, data, step=None, commit=None):
        if self.fails(data):
            raise RuntimeError("something went wrong")
        super().log(data, step=step, commit=commit)


def test_a_value_at_which_wandb_fails_otherwise_is_found_at_the_third_try():
    """The first two may have been an outage."""
    run = FailingRun(lambda data: "bad" in data)
    writer = writer_of(run)
    writer.take(row(0, bad=1.0, loss=0.0))
    for _ in range(2):
        with pytest.raises(RuntimeError):
            writer.flush()
    assert writer.flush()
    assert ["bad"] == list(writer.refused)
    assert [{"_step": 0, "loss": 0.0, "global_step": 0}] == run.rows


def test_an_outage_while_the_value_at_fault_is_looked_for_is_blamed_on_none():
    """After a value has failed, W&B must still take what is no value."""
    answers = iter([True, True, True, False, True, True])
    run = FailingRun(lambda data: next(answers, False))
    writer = writer_of(run)
    writer.take(row(0, loss=0.0, reward=1.0))
    for _ in range(3):
        with pytest.raises(RuntimeError):
            writer.flush()
    assert writer.flush()
    assert {} == writer.refused
    assert [{"_step": 0, "loss": 0.0, "reward": 1.0, "global_step": 0}] == run.rows


def test_a_failing_service_is_not_mistaken_for_a_bad_value():
    """A list is not refused because W&B does not answer."""
    run = FakeRun()
    writer = writer_of(run)
    writer.take(row(0, media=["fine"]))
    for _ in range(2):
        run.fail_next(1, ConnectionError("gone"))
        with pytest.raises(ConnectionError):
            writer.flush()
    assert writer.flush()
    assert {} == writer.refused
    assert ["fine"] == run.rows[0]["media"]


def test_a_distribution_becomes_a_histogram_and_its_statistics():
    """From the measurements of the step themselves."""
    seen = []
    run = FakeRun()
    run.log = lambda data, step=None, commit=None: seen.append(data)
    write(writer_of(run), row(0, latency=Distribution((1.0, 2.0, 3.0, 4.0))))
    data = seen[0]
    assert 4 == sum(data["latency"].histogram)
    statistics = {key: data[f"latency/{key}"] for key in ("count", "mean", "min", "max", "p50")}
    assert {"count": 4, "mean": 2.5, "min": 1.0, "max": 4.0, "p50": 2.5} == statistics
    assert pytest.approx(3.85) == data["latency/p95"]


@pytest.mark.parametrize(
    "values",
    [
        (6e17,),
        (0.0, 5e-324),
        (1e308, 1e308, 1.1e308),
        (-1.7e308, 1.7e308),
        (float("inf"), 1.0),
        (float("nan"),),
    ],
)
def test_a_distribution_of_any_values_is_written(values):
    """Values too large, too close or not finite for bins of equal width do not hold up the run."""
    seen = []
    run = FakeRun()
    run.log = lambda data, step=None, commit=None: seen.append(data)
    writer = writer_of(run)
    write(writer, row(0, flops=Distribution(values)))
    assert {} == writer.refused
    assert len(values) == seen[0]["flops/count"]
    finite = [value for value in values if math.isfinite(value)]
    if finite:
        assert len(finite) == sum(seen[0]["flops"].histogram)
        assert min(finite) <= seen[0]["flops/mean"] <= max(finite)


def test_a_key_that_wandb_cannot_take_does_not_hold_up_the_rest():
    """A plain value at fault is found too."""
    run = FakeRun()
    log = run.log

    def refuse(data, step=None, commit=None):
        if "\ud800" in data:
            raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
        log(data, step=step, commit=commit)

    run.log = refuse
    writer = writer_of(run)
    write(writer, row(0, **{"\ud800": 1.0, "loss": 2.0}))
    assert ["\ud800"] == list(writer.refused)
    assert [{"_step": 0, "loss": 2.0, "global_step": 0}] == run.rows


def test_an_outage_is_never_blamed_on_a_value():
    """However often the same row has failed."""
    run = FakeRun()
    writer = writer_of(run)
    run.fail_next(4, ConnectionError("gone"))
    writer.take(row(0, media=["fine"]))
    for _ in range(3):
        with pytest.raises(ConnectionError):
            writer.flush()
    assert writer.flush()
    assert {} == writer.refused
    assert [["fine"]] == [written["media"] for written in run.rows]


def test_a_foreign_writer_is_named_once(caplog):
    """With what to do instead."""
    run = FakeRun()
    writer = writer_of(run)
    for step in range(3):
        run.log({"foreign": step})
        writer.begin()
        write(writer, row(step, loss=1.0))
    assert 1 == len([record for record in caplog.records if "Bridge.log" in record.getMessage()])


def test_rows_wait_for_a_batch_and_large_ones_for_a_smaller_one():
    """What waits in memory is bounded by rows, and by samples."""
    writer = writer_of(FakeRun())
    for step in range(BATCH):
        assert writer.has_room_for(row(step, loss=1.0))
        writer.take(row(step, loss=1.0))
    assert not writer.has_room_for(row(BATCH, loss=1.0))
    assert (BATCH, 0) == (writer.unconfirmed, writer._ledger.rows)
    assert writer.flush()
    assert (0, BATCH) == (writer.unconfirmed, writer._ledger.rows)
    writer.take(Row(BATCH, {"loss": 1.0}, 0.0, BATCH_SAMPLES))
    assert not writer.has_room_for(row(BATCH + 1, loss=1.0))


def test_a_bound_on_what_waits_makes_a_batch_smaller_and_never_larger():
    """Of several, the smallest holds."""
    writer = writer_of(FakeRun())
    for most in (3, BATCH_SAMPLES * 2):
        writer.hold_at_most(most)
    writer.take(Row(0, {"loss": 1.0}, 0.0, 2))
    assert writer.has_room_for(row(1, loss=1.0))
    writer.take(Row(1, {"loss": 1.0}, 0.0, 1))
    assert not writer.has_room_for(row(2, loss=1.0))


def test_a_flush_can_be_stopped_after_each_row():
    """A service that is slow does not hold it for a batch; the rest is written by the next one, in order."""
    run = FakeRun()
    writer = writer_of(run)
    for step in range(5):
        writer.take(row(step, loss=1.0))
    answers = [True, True, False]
    assert not writer.flush(lambda: answers.pop(0))
    assert [0, 1, 2] == [step for step, _ in written(run)]
    assert 2 == writer.unconfirmed
    assert writer.flush()
    assert [0, 1, 2, 3, 4] == [step for step, _ in written(run)]


def test_a_late_row_waits_for_no_batch():
    """What the summary shows is read before it, so all rows before it must be in the run."""
    run = FakeRun()
    writer = writer_of(run)
    late = row(2, late=True, media=["two"])
    assert writer.has_room_for(late)
    writer.take(row(5, media=["five"]))
    assert not writer.has_room_for(late)
    assert writer.has_room_for(row(6, media=["six"]))


def test_the_summary_is_put_right_when_the_late_row_is_written_and_not_before():
    """A flush that was stopped is no end of it."""
    run = FakeRun()
    writer = writer_of(run)
    write(writer, row(5, loss=5.0))
    writer.take(row(2, late=True, loss=2.0))
    writer.take(row(6, reward=6.0))
    run.fail_next(1, ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        writer.flush()
    writer.end()
    assert writer.flush()
    writer.end()
    assert 5.0 == run.summary.get("loss")


def test_what_the_program_has_put_into_the_summary_stands():
    """A late row restores that, and not what our rows had there."""
    run = FakeRun()
    writer = writer_of(run)
    write(writer, row(5, loss=5.0, reward=5.0))
    run.summary.update({"loss": 99.0, "best": 98.0})
    writer.summary_was_set(["loss", "best"])
    write(writer, row(2, late=True, loss=2.0, reward=2.0, best=2.0))
    run.summary.update({"reward": 97.0})
    writer.summary_was_set(["reward"])
    writer.end()
    assert [99.0, 98.0, 97.0] == [run.summary[key] for key in ("loss", "best", "reward")]


def test_the_summary_keeps_what_stood_before_a_value_that_was_refused():
    """A late row does not put the refused one there."""
    run = FakeRun()
    writer = writer_of(run)
    write(writer, row(4, media=["four"]), row(5, media=object()), row(2, late=True, media=["two"]))
    writer.end()
    assert ["media"] == list(writer.refused)
    assert ["four"] == run.summary.get("media")


def test_rows_that_get_other_numbers_are_told_again_with_the_first_number_that_is_void():
    """A foreign writer came in between: what was noted under the old numbers was never written."""
    run, told = FakeRun(), []
    writer = writer_of(run)
    writer.before_commit = lambda rows, since: told.append(([step for _, step in rows], since))
    for step in range(5):
        writer.take(row(step, loss=1.0))
    answers = [True, False]
    assert not writer.flush(lambda: answers.pop(0))
    run.log({"foreign": 1})
    writer.begin()
    assert writer.flush()
    assert [([0, 1, 2, 3, 4], None), ([3, 4, 5], 2)] == told
    assert [0, 1, 3, 4, 5] == [row["_step"] for row in run.rows if "loss" in row]
    write(writer, row(9, loss=1.0))
    assert ([9], None) == told[-1], "nothing is void that was told since"


def test_rows_that_could_not_be_written_are_told_all_the_same():
    """They are not among what waits elsewhere any more."""
    run, told = FakeRun(), []
    writer = writer_of(run)
    writer.before_commit = lambda rows, since: told.append([row.step for row, _ in rows])
    writer.take(row(0, loss=1.0))
    writer.take(row(1, loss=1.0))
    writer.tell()
    writer.tell()
    assert [[0, 1]] == told


def test_a_row_that_waits_alone_is_told_again_under_its_new_number():
    """As are several."""
    run, told = FakeRun(), []
    writer = writer_of(run)
    writer.before_commit = lambda rows, since: told.append(([step for _, step in rows], since))
    writer.take(row(0, loss=1.0))
    writer.tell()
    run.log({"foreign": 1})
    writer.begin()
    assert writer.flush()
    assert [([0], None), ([1], 0)] == told


@pytest.mark.parametrize("refused_at", [5, 6])
def test_a_value_that_was_refused_is_at_no_step(refused_at):
    """A late one below it stands in the summary."""
    run = FakeRun()
    writer = writer_of(run)
    write(writer, row(2, a=0), row(refused_at, a=object()), row(3, late=True, a=1))
    writer.end()
    assert 1 == run.summary.get("a")


def test_a_summary_that_keeps_itself_right_is_left_alone_after_a_refused_value():
    """`summary="max"` stands as a mapping there."""
    run = FakeRun()
    writer = writer_of(run)
    write(writer, row(0, m=9.0), row(6, m=object()))
    run.summary.update({"m": {"max": 9.0}})
    write(writer, row(2, late=True, m=5.0))
    run.summary.update({"m": {"max": 9.0}})
    writer.end()
    assert {"max": 9.0} == run.summary.get("m")


def test_an_axis_that_could_not_be_defined_is_tried_again_under_the_same_name():
    """And not under one of its own."""
    run = FakeRun()
    writer = writer_of(run)
    define = run.define_metric

    def fail_once(*arguments, **options):
        run.define_metric = define
        raise ConnectionError("gone")

    run.define_metric = fail_once
    taken = row(1, a=2, global_step=77)
    with pytest.raises(ConnectionError):
        writer.take(taken)
    write(writer, taken)
    assert 1 == run.rows[-1]["bridge/global_step"]


def test_an_array_under_the_key_of_the_axis_is_not_the_step():
    """It cannot even be compared: the axis gives way, as it does to any other value."""
    run = FakeRun()
    write(writer_of(run), row(1, loss=1.0, global_step=numpy.arange(2)), row(2, loss=2.0))
    assert [1, 2] == [row["bridge/global_step"] for row in run.rows]


def test_an_axis_that_is_logged_with_the_step_itself_stays():
    """Whatever type the number has."""
    run = FakeRun()
    write(writer_of(run), row(1, loss=1.0, global_step=1), row(2, loss=2.0, global_step=2.0))
    assert [1, 2] == [row["global_step"] for row in run.rows]
    assert all("bridge/global_step" not in row for row in run.rows)
