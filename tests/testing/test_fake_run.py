import threading

import pytest
from wandb.errors import Error, UsageError

from otel_wandb_bridge.testing import FakeRun


def test_a_row_appears_when_a_higher_step_is_logged():
    """Calls with the same step make one row; the row in the making is not among the rows."""
    run = FakeRun()
    run.log({"a": 1}, step=3)
    run.log({"b": 2}, step=3)

    assert [] == run.rows
    run.log({"a": 2}, step=5)
    assert [{"_step": 3, "a": 1, "b": 2}] == run.rows
    assert 5 == run.step


def test_commit_seals_the_row_and_later_data_for_it_are_dropped():
    """What was thrown away is kept by its step."""
    run = FakeRun()
    run.log({"a": 1}, step=3, commit=True)
    run.log({"b": 2}, step=3)
    run.log({"c": 3}, step=1)

    assert [{"_step": 3, "a": 1}] == run.rows
    assert [(3, {"b": 2}), (1, {"c": 3})] == run.dropped


def test_data_without_a_step_join_the_row_in_the_making_and_seal_it():
    """W&B's trap: the second value of x replaces the first."""
    run = FakeRun()
    run.log({"x": 7}, step=7)
    run.log({"x": 8})

    assert [{"_step": 7, "x": 8}] == run.rows
    assert 8 == run.step


def test_finish_seals_the_last_row_and_is_done_once():
    """The exit code is that of the first call."""
    run = FakeRun()
    run.log({"a": 1}, step=0)
    run.finish(exit_code=3)
    run.finish()

    assert [{"_step": 0, "a": 1}] == run.rows
    assert (True, 3) == (run.finished, run.exit_code)


def test_leaving_the_with_block_finishes_the_run_and_says_how():
    """An exception makes the exit code 1, as W&B has it."""
    with FakeRun() as good:
        good.log({"a": 1}, step=0)
    bad = FakeRun()
    with pytest.raises(KeyError), bad:
        raise KeyError

    assert (0, 1) == (good.exit_code, bad.exit_code)
    assert [{"_step": 0, "a": 1}] == good.rows


def test_a_finished_run_takes_nothing_more():
    """Every write raises W&B's own error, in its words."""
    run = FakeRun(id="abc")
    run.finish()

    with pytest.raises(UsageError, match=r"Run \(abc\) is finished\. The call to `log` will be ignored\."):
        run.log({"a": 1})
    with pytest.raises(UsageError, match="define_metric"):
        run.define_metric("a")
    with pytest.raises(UsageError, match="_summary_update_callback"):
        run.summary["a"] = 1
    with pytest.raises(UsageError, match="_config_callback"):
        run.config.update({"a": 1})


def test_a_resumed_run_drops_what_is_below_its_starting_step():
    """It begins where the other ended."""
    run = FakeRun(starting_step=5)
    run.log({"a": 1}, step=4)
    run.log({"a": 2})

    assert [{"_step": 5, "a": 2}] == run.rows
    assert (5, 6) == (run.starting_step, run.step)


def test_ordered_failures_come_before_anything_is_recorded():
    """The next calls raise in the order of the orders, then all is well; every call counts."""
    run = FakeRun()
    run.fail_next(2, ConnectionError("down"))
    run.fail_next(1, TimeoutError)

    for error in (ConnectionError, ConnectionError, TimeoutError):
        with pytest.raises(error):
            run.log({"a": 1}, step=9)
    run.log({"a": 1}, step=0, commit=True)

    assert [{"_step": 0, "a": 1}] == run.rows
    assert 4 == run.calls


@pytest.mark.parametrize(
    ("data", "step", "message"),
    [
        ([1], None, "must be passed a dictionary"),
        ({1: 2}, None, "must be strings"),
        ({"good": 1, "bad": object()}, None, "not JSON serializable"),
        ({"a": 1}, 2.0, "integer"),
        ({"a": 1}, True, "integer"),
    ],
)
def test_what_wandb_refuses_is_refused_and_leaves_no_trace(data, step, message):
    """Not even half a row."""
    run = FakeRun()

    with pytest.raises(TypeError, match=message):
        run.log(data, step=step)
    run.finish()
    assert ([], []) == (run.rows, run.dropped)


def test_rows_keep_the_values_of_the_moment():
    """What the caller does to the data afterwards changes nothing."""
    run = FakeRun()
    data = {"a": {"x": [1]}}
    run.log(data, commit=True)
    data["a"]["x"].append(2)

    assert [{"_step": 0, "a": {"x": [1]}}] == run.rows


def test_the_summary_follows_the_sealed_rows_and_the_user():
    """Last value wins, nested values are merged, None leaves the value before it."""
    run = FakeRun()
    run.log({"a": 1, "d": {"x": 1}})
    run.summary.update({"best": 0.5})
    run.log({"a": None, "d": {"y": 2}})
    run.log({"a": 9}, step=8)

    assert {"_step": 1, "a": 1, "best": 0.5, "d": {"x": 1, "y": 2}} == dict(run.summary)


def test_a_config_value_stays_unless_its_change_is_allowed():
    """A refused update changes none of its keys."""
    run = FakeRun(config={"lr": 0.1})

    with pytest.raises(Error, match=r'change value of key "lr" from 0\.1 to 0\.2'):
        run.config.update({"new": 1, "lr": 0.2})
    with pytest.raises(Error, match="allow_val_change=True"):
        run.config.lr = 0.2
    assert {"lr": 0.1} == dict(run.config)
    run.config.update({"lr": 0.2}, allow_val_change=True)
    run.config["new"] = 1
    assert (0.2, 1) == (run.config.lr, run.config["new"])


def test_define_metric_is_recorded_and_merged():
    """A step metric turns step_sync on unless told otherwise; overwrite forgets what was."""
    run = FakeRun()
    run.define_metric("loss", step_metric="step", summary="min,max")
    run.define_metric("loss", step_sync=False)
    run.define_metric("train/*", step_metric="step")
    run.define_metric("step", hidden=True)
    run.define_metric("step", overwrite=True)

    nothing = {"step_metric": None, "step_sync": None, "hidden": None, "summary": None}
    assert {
        "loss": {"step_metric": "step", "step_sync": False, "hidden": None, "summary": "min,max"},
        "train/*": {"step_metric": "step", "step_sync": True, "hidden": None, "summary": None},
        "step": nothing,
    } == run.metrics


@pytest.mark.parametrize(("name", "summary"), [("", None), ("a*b", None), ("a", "median")])
def test_define_metric_refuses_what_wandb_refuses(name, summary):
    """The names and summaries W&B has no meaning for."""
    with pytest.raises(Error, match="define_metric"):
        FakeRun().define_metric(name, summary=summary)


def test_a_fake_run_looks_like_an_offline_run():
    """The attributes that code asks before it logs."""
    run = FakeRun(id="i", name="n", project="p", entity="e")

    assert ("i", "n", "p", "e") == (run.id, run.name, run.project, run.entity)
    assert (False, True, None, "offline") == (run.disabled, run.offline, run.url, run.settings.mode)


def test_threads_may_log_at_once():
    """No call is lost and no row is torn."""
    run = FakeRun()

    def log():
        for i in range(500):
            run.log({"a": i, "b": i})

    threads = [threading.Thread(target=log) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 2000 == run.calls
    assert list(range(2000)) == [row["_step"] for row in run.rows]
    assert all(row["a"] == row["b"] for row in run.rows)
