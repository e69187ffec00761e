"""A forked child has the parent's bridge but none of its threads: it must neither write nor wait."""

import os

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")

PARENT = """
import signal
import warnings

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 about any fork beside threads


def record(steps):
    for step in steps:
        loss.set(step / 2, {"step": step})
        bridge.log({"note": f"at {step}"}, step=step, source="trainer")


def fork(name, work):
    child = os.fork()
    if child == 0:
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), 2)
        work()
        os._exit(3)
    end = time.monotonic() + 5
    pid = 0
    while not pid and time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.002)
    if not pid:
        os.kill(child, signal.SIGKILL)
    report(child=name, ended=os.waitstatus_to_exitcode(status) if pid else "hung", said=open(name).read())


run = wandb.init(id="parent")
bridge = configure(RUN, export_interval_millis=NEVER)
loss = metrics.get_meter("trainer").create_gauge("loss")
record(range(5))
"""


def assert_ended_well(reports, ended=3):
    """No child hung, and none of them said anything about an error of ours."""
    for each in reports:
        assert (each["child"], ended) == (each["child"], each["ended"])
        assert "otel_wandb_bridge/" not in each["said"], "a traceback through our code"


@pytest.mark.parametrize("given", ["run", "None"])
def test_a_forked_child_writes_nothing_and_ends(run_script, given):
    """However it ends; the rows of the parent are complete, each of them once."""
    outcome = run_script(
        PARENT.replace("RUN", given)
        + """
def end_by(how):
    record(range(100, 105))
    how()


fork("as it is", lambda: end_by(int))
fork("flush", lambda: end_by(bridge.force_flush))
fork("shutdown", lambda: end_by(bridge.shutdown))
fork("handlers", lambda: end_by(atexit._run_exitfuncs))
record(range(5, 10))
run.finish()
"""
    ).ended_well()
    assert 4 == len(outcome.reports)
    assert_ended_well(outcome.reports)
    assert {step: step / 2 for step in range(10)} == outcome.run.series("loss")
    assert {step: f"at {step}" for step in range(10)} == outcome.run.series("note")
    assert list(range(10)) == outcome.run.steps()
    assert "ignoring partial history record" not in outcome.run.service_log


def test_a_child_of_multiprocessing_writes_nothing_and_ends(run_script):
    """Data loaders and rollout workers are started like this."""
    outcome = run_script(
        PARENT.replace("RUN", "run")
        + """
import multiprocessing

context = multiprocessing.get_context("fork")
worker = context.Process(target=record, args=[range(100, 105)])
worker.start()
worker.join(15)
with context.Pool(2) as pool:
    pool.map(record, [range(200, 205)] * 4)
    pool.close()
    pool.join()
report(child="worker", ended=worker.exitcode, said="")
record(range(5, 10))
"""
    )
    assert outcome.code == 0
    assert_ended_well(outcome.reports, ended=0)
    assert {step: step / 2 for step in range(10)} == outcome.run.series("loss")
    assert list(range(10)) == outcome.run.steps()


def test_a_fork_while_a_bridge_is_made_leaves_the_child_free_to_make_one(run_script):
    """Making one asks W&B, with a lock held; runs in memory suffice to show it."""
    outcome = run_script(
        PARENT.replace("RUN", "run")
        + """
from otel_wandb_bridge.testing import FakeRun

is_asking, may_go_on = threading.Event(), threading.Event()


class SlowRun(FakeRun):
    def define_metric(self, *args, **kwargs):
        is_asking.set()
        may_go_on.wait(30)


making = threading.Thread(target=WandbMetricExporter, args=[SlowRun()])
making.start()
is_asking.wait(10)
fork("child", lambda: WandbMetricExporter(FakeRun()))
may_go_on.set()
making.join()
run.finish()
"""
    ).ended_well()
    assert_ended_well(outcome.reports)


@pytest.mark.parametrize("given", ["run", "None"])
def test_a_forked_child_may_have_a_run_of_its_own(run_script, given):
    """A bridge that follows goes on to it; beside one that was given the parent's, a new one can be made."""
    outcome = run_script(
        f"GIVEN = {given!r}"
        + PARENT.replace("RUN", given)
        + """
def write():
    global bridge, loss
    own = wandb.init(id="child", reinit=True)
    if GIVEN == "run":
        bridge = configure(own, export_interval_millis=NEVER, set_global=False)
        loss = bridge.meter_provider.get_meter("trainer").create_gauge("loss")
    record(range(20, 25))
    own.finish()


fork("child", write)
record(range(5, 10))
run.finish()
"""
    ).ended_well()
    assert_ended_well(outcome.reports)
    assert list(range(10)) == outcome.runs["parent"].steps()
    assert list(range(20, 25)) == outcome.runs["child"].steps()
    assert {step: step / 2 for step in range(20, 25)} == outcome.runs["child"].series("loss")


@pytest.mark.long
def test_a_fork_in_the_middle_of_a_flush_leaves_the_child_free_to_record_and_to_end(run_script):
    """Whatever the flushing thread of the parent held: no lock of it is held for ever in the child."""
    outcome = run_script(
        PARENT.replace("RUN", "run").replace("NEVER", "2000")
        + """
log = run.log


def slow_log(*args, **kwargs):
    time.sleep(0.002)
    return log(*args, **kwargs)


run.log = slow_log
sizes = [metrics.get_meter("trainer").create_histogram(f"size{number}") for number in range(50)]


is_over = threading.Event()


def flush():  # so that there is always one under way
    while not is_over.is_set():
        bridge.force_flush()


def end():
    for size in sizes:
        size.record(1.0, {"step": 0})
    record(range(100, 105))
    bridge.force_flush()
    bridge.meter_provider.shutdown()


flushing = threading.Thread(target=flush)
flushing.start()
for step in range(5, 65):
    record([step])
    for size in sizes:
        size.record(1.0, {"step": step})
    if step % 3 == 0:
        fork(f"child {step}", end)
is_over.set()
flushing.join()
run.finish()
"""
    ).ended_well()
    assert 20 == len(outcome.reports)
    assert_ended_well(outcome.reports)
    assert {step: step / 2 for step in range(65)} == outcome.run.series("loss")


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_children_that_are_no_forks_have_nothing_of_ours(run_script, method):
    """They start anew: what they record has no reader there, and the parent's rows are whole."""
    outcome = run_script(
        """
import multiprocessing


def work(number):
    metrics.get_meter("worker").create_gauge("loss").set(float(number), {"step": number})
    return number * 2


if __name__ == "__main__":
    run = wandb.init()
    bridge = configure(run, export_interval_millis=NEVER)
    loss = metrics.get_meter("trainer").create_gauge("loss")
    with multiprocessing.get_context("METHOD").Pool(2) as pool:
        for step in range(10):
            loss.set(step / 2, {"step": step})
        report(results=pool.map(work, range(4)))
        pool.close()
        pool.join()
    run.finish()
""".replace("METHOD", method)
    ).ended_well()
    assert [{"results": [0, 2, 4, 6]}] == outcome.reports
    assert {step: step / 2 for step in range(10)} == outcome.run.series("loss")
    assert list(range(10)) == outcome.run.steps()


@pytest.mark.parametrize("given", ["run", "None"])
def test_a_child_that_logs_is_told_once_that_nothing_is_written(run_script, given):
    """What it is, why, and what to do; not where it has a run of its own to follow, or logs nothing."""
    outcome = run_script(
        PARENT.replace("RUN", given)
        + """
def log():
    for step in range(3):
        bridge.log({"note": "x"}, step=step)
    assert bridge.stats().is_conserved()


def log_to_a_run_of_its_own():
    wandb.init(id="child")
    log()
    wandb.finish()


fork("logs", log)
fork("logs nothing", lambda: loss.set(1.0, {"step": 1}))
fork("grandchild", lambda: (log(), fork("its child", log)))
FOLLOWS and fork("has its own", log_to_a_run_of_its_own)
run.finish()
""".replace("FOLLOWS", str(given == "None"))
    ).ended_well()
    said = {each["child"]: each["said"].count("this process was forked") for each in outcome.reports}
    wanted = {"logs": 1, "logs nothing": 0, "grandchild": 1} | ({"has its own": 0} if given == "None" else {})
    assert wanted == {name: said[name] for name in wanted}
    (text,) = [each["said"] for each in outcome.reports if each["child"] == "logs"]
    assert "Log in the parent" in text
    assert "configure(endpoint=…)" in text
