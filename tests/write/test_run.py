"""What is asked of a run; and the private names of W&B that `write.run` and `wandb_step_fix.capture` rely on.

A change of one of them in W&B is to fail here, by its name, and not in somebody's training.
"""

import importlib
import inspect
import json
import os
import pickle
import threading
from types import SimpleNamespace

import pytest
import wandb
from wandb import wandb_run

from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.records import Row
from otel_wandb_bridge.testing import FakeRun
from otel_wandb_bridge.wandb_step_fix.capture import _SERIALIZE_CHARTS, _is_chart
from otel_wandb_bridge.write import run as module
from otel_wandb_bridge.write.run import (
    active_run,
    check,
    has_read_until,
    is_asking,
    is_disabled,
    is_of_another_process,
    is_shared,
    next_step,
    refuses_rows,
    settled_step,
)
from otel_wandb_bridge.write.writer import RunWriter

GONE = "{} has changed in this version of wandb: {} relies on it"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A real run, which nobody logs to."""
    with wandb.init(mode="offline", dir=tmp_path_factory.mktemp("run")) as made:
        yield made


def test_a_run_knows_the_process_that_made_it(run):
    """`Run._init_pid` is all that tells a child that the run is its parent's."""
    assert getattr(run, "_init_pid", None) == os.getpid(), GONE.format("Run._init_pid", "write/run.py")
    assert not is_of_another_process(run)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # a fork beside threads
def test_in_a_forked_child_the_run_is_of_another_process(run):
    """It must not be written as if it were the child's own."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = int(is_of_another_process(run))
        finally:
            os._exit(code)
    assert 1 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_run_that_was_sent_to_another_process_is_of_another_process(run):
    """The process that made it is in what is pickled."""
    state = run.__getstate__()
    assert os.getpid() == state["_init_pid"], GONE.format("Run.__getstate__", "write/run.py")
    received = object.__new__(wandb_run.Run)
    received.__setstate__({**state, "_init_pid": os.getppid()})
    assert is_of_another_process(received)
    assert pickle.dumps(run)


def test_a_run_in_memory_is_of_this_process():
    """It does not say what made it."""
    assert not is_of_another_process(FakeRun())


def test_a_disabled_run_is_of_this_process(monkeypatch):
    """It has no service, and takes everything. W&B leaves it in its module when it is over."""
    for name, value in vars(wandb).items():
        monkeypatch.setattr(wandb, name, value)
    with wandb.init(mode="disabled") as run:
        assert is_disabled(run)
        assert not is_of_another_process(run)


def test_an_offline_run_takes_the_steps_that_it_is_given(run):
    """It is neither shared nor disabled, and begins at 0."""
    assert (False, False, 0) == (is_shared(run), is_disabled(run), next_step(run))


class SharedRun:
    """As W&B's own in `mode="shared"`."""

    settings = SimpleNamespace(mode="shared")

    @property
    def step(self):
        raise RuntimeError("no step in shared mode")


def test_a_shared_run_is_not_asked_for_its_step():
    """It raises; its rows are numbered by W&B."""
    assert (True, 0) == (is_shared(SharedRun()), next_step(SharedRun()))


class ResumedRun:
    starting_step = 7

    def __init__(self, step):
        self.step = step


def test_a_resumed_run_goes_on_where_it_was():
    """W&B says 0 for its step until its first row, so the step at which it was resumed counts too."""
    assert 7 == next_step(ResumedRun(0))
    assert 9 == next_step(ResumedRun(9))


@pytest.mark.parametrize(
    ("module", "name", "parameters"),
    [
        ("wandb.sdk.data_types.utils", "val_to_json", ["run", "key", "val", "namespace", "ignore_copy_err"]),
        ("wandb.util", "json_dumps_safer_history", ["obj", "kwargs"]),
    ],
)
def test_a_private_function_is_there_and_takes_what_we_give_it(module, name, parameters):
    """`capture` has W&B turn media into files at the call, as it does itself at the log."""
    function = getattr(importlib.import_module(module), name, None)
    where = GONE.format(f"{module}.{name}", "wandb_step_fix/capture.py")
    assert function is not None, where
    assert parameters == list(inspect.signature(function).parameters), where


def test_values_are_turned_into_what_is_stored(run):
    """`val_to_json` gives a plain value back as it is, and a medium as the record of its file."""
    from wandb.sdk.data_types.utils import val_to_json

    where = GONE.format("wandb.sdk.data_types.utils.val_to_json", "wandb_step_fix/capture.py")
    value = {1, 2}
    assert value is val_to_json(run, "key", value, namespace=3, ignore_copy_err=True), where
    record = val_to_json(run, "page", wandb.Html("<b>bold</b>"), namespace=3, ignore_copy_err=True)
    assert "html-file" == record["_type"], where
    assert record["path"].startswith("media/html/page_3_"), where
    assert os.path.exists(os.path.join(run.dir, record["path"])), where


def test_what_is_stored_is_json(run):
    """`json_dumps_safer_history` keeps NaN, and refuses what W&B refuses."""
    from wandb.util import json_dumps_safer_history

    where = GONE.format("wandb.util.json_dumps_safer_history", "wandb_step_fix/capture.py")
    assert [[1.5, None], "text"] == json.loads(json_dumps_safer_history([[1.5, None], "text"])), where
    with pytest.raises(TypeError, match="not JSON serializable"):
        json_dumps_safer_history(object())


def a_chart():
    table = wandb.Table(columns=["x", "y"], data=[[1, 2]])
    chart = wandb.plot.line(table, "x", "y") if wandb.run or hasattr(wandb, "Run") else None
    if chart is None:
        pytest.skip("this version of wandb makes charts for `wandb.run` alone")
    return chart, table


def test_a_chart_becomes_a_table_under_another_key(run):
    """`Run._serialize_custom_charts` does it; in wandb 0.18, `Run._visualization_hack`."""
    where = GONE.format("Run._serialize_custom_charts", "wandb_step_fix/capture.py")
    serialize = getattr(run, _SERIALIZE_CHARTS, None)
    assert serialize is not None, where
    chart, table = a_chart()
    values = serialize({"chart": chart, "loss": 1})
    assert {"chart_table", "loss"} == values.keys(), where
    assert table is values["chart_table"], where


def test_a_chart_is_known_by_its_name():
    """Its class has lived in several modules of wandb."""
    assert _is_chart(a_chart()[0]), GONE.format("the class of charts", "wandb_step_fix/capture.py")
    assert not _is_chart(5)


def test_wandb_has_read_the_rows_that_its_summary_knows(tmp_path):
    """It counts for all processes; `run.step` is each process's own before wandb 0.28."""
    with wandb.init(mode="offline", dir=tmp_path) as run:
        assert has_read_until(run, 0)
        assert not has_read_until(run, 1, timeout=0.01)
        run.log({"loss": 1}, step=0, commit=True)
        run.log({"loss": 2}, step=7, commit=True)
        assert has_read_until(run, 1)
        assert has_read_until(run, 8)
        assert not has_read_until(run, 9, timeout=0.01)


def test_a_run_that_was_resumed_has_the_rows_below_its_start():
    """Whatever its summary says."""
    run = FakeRun(starting_step=5)
    assert has_read_until(run, 5, timeout=0.01)
    assert not has_read_until(run, 6, timeout=0.01)


def test_rows_that_wandb_reads_later_are_waited_for():
    """Two processes have two ways to its service."""
    answers = iter([None, 3, 4])
    run = FakeRun()
    run.summary = SimpleNamespace(get=lambda key: next(answers))
    assert has_read_until(run, 5)
    assert [] == list(answers)


def test_the_count_of_the_service_stands_before_the_summary():
    """Anybody may write that; before wandb 0.28 there is nothing else."""
    run = FakeRun()
    run.log({"loss": 1}, step=3, commit=True)
    run.summary = SimpleNamespace(get=lambda key: 99)
    assert has_read_until(run, 4)
    assert not has_read_until(run, 5, timeout=0.01)


@pytest.mark.parametrize("refuses", [False, True])
def test_a_service_that_does_not_answer_is_not_waited_for(refuses):
    """Nor one that refuses: for a run that has finished, W&B may wait for a minute."""
    asked, may_go = threading.Event(), threading.Event()

    def get(key):
        asked.set()
        if refuses:
            raise ConnectionError("no answer")
        may_go.wait(20)

    run = FakeRun()
    run.summary = SimpleNamespace(get=get)
    assert not has_read_until(run, 1, timeout=0.1)
    assert asked.is_set()
    may_go.set()


def test_a_module_is_told_from_other_things_that_are_no_run():
    """`configure(wandb)` is the slip that is made."""
    check(FakeRun())
    with pytest.raises(TypeError, match="got the module <module 'wandb'"):
        check(wandb)
    for other in (FakeRun, 3, SimpleNamespace(log=print, define_metric=print)):
        with pytest.raises(TypeError, match="or None to follow it; got"):
            check(other)
    check(SimpleNamespace(log=print, define_metric=print, finish=print))


def test_the_active_run_is_that_of_wandb(monkeypatch):
    """As of now."""
    monkeypatch.setattr(wandb, "run", "a run")
    assert "a run" == active_run()


def test_an_error_of_a_finished_run_is_told_from_others():
    """What else W&B raises may pass."""
    assert refuses_rows(wandb.errors.UsageError("finished"))
    assert not refuses_rows(ConnectionError("no answer"))


def test_the_bridge_itself_asks_for_the_step_and_only_meanwhile():
    """Others see the steps that wait, the bridge those that W&B has."""
    asking = []

    class Asked(FakeRun):
        @property
        def step(self):
            asking.append(is_asking())
            return super().step

    run = Asked()
    next_step(run)
    assert run.step == 0
    assert [True, False] == asking


def test_a_count_of_the_process_that_has_missed_some_is_not_relied_on(monkeypatch):
    """Before wandb 0.28, threads that log at the same time may add to it at once."""
    run = FakeRun()
    run.log({"loss": 1}, step=292, commit=True)
    run.summary = SimpleNamespace(get=lambda key: 302)
    monkeypatch.setattr(module, "_COUNTS_HERE", True)
    assert 303 == settled_step(run)
    run.summary = SimpleNamespace(get=lambda key: None)
    assert 293 == settled_step(run)
    run.summary = SimpleNamespace(get=lambda key: 302)
    monkeypatch.setattr(module, "_COUNTS_HERE", False)
    assert 293 == settled_step(run)


def test_threads_that_have_logged_without_us_cost_no_row(tmp_path, monkeypatch):
    """Whatever `run.step` says."""
    with wandb.init(mode="offline", dir=tmp_path) as run:
        for number in range(20):
            run.log({"theirs": number})
        if hasattr(run, "_step"):
            monkeypatch.setattr(run, "_step", 10)
        writer = RunWriter(run, "global_step", Ledger())
        writer.take(Row(0, {"ours": 1.0}, 0.0, 1))
        writer.flush()
        writer.close()
        assert 1.0 == run.summary.get("ours"), "W&B has dropped the row"
