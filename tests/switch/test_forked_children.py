"""Forked children that log to their parent's run, while the parent logs to it and flushes all the time."""

import json
import os
import textwrap

import pytest

from otel_wandb_bridge.testing import read_rows

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")

PROLOGUE = """
import json, multiprocessing, os, signal, sys, threading, time, traceback, warnings

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 about any fork beside threads
import wandb
from otel_wandb_bridge import training_step
from otel_wandb_bridge.wandb_step_fix import *


def patch():
    patch_wandb_log(flush_interval=0.01, buffer_size=5, hold=0.05)


def fork(work, *args):
    child = os.fork()
    if child:
        return child
    code = 4
    try:
        signal.alarm(30)  # ends a child that hangs, and fails the test
        work(*args)
        code = 3
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def code_of(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Parent:
    '''Logs one step after the other in a thread, for as long as the block lasts.'''

    def __enter__(self):
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._log)
        self._thread.start()
        return self

    def _log(self):
        self.steps = 0
        while not self._stop.is_set():
            wandb.log({"loss": self.steps}, step=self.steps)
            self.steps += 1
            time.sleep(0.0005)  # its turn to others

    def __exit__(self, *error):
        self._stop.set()
        self._thread.join()
        print(self.steps)


def log_everything(name, base):
    run = wandb.run
    for step in range(20):
        run.log({f"{name}/given": step}, step=base + step)
    wandb.log({f"{name}/free": 1})
    wandb.log({f"{name}/kept": 2}, commit=False)
    run.log({f"{name}/back": 3, f"{name}/page": wandb.Html("<b>bold</b>")}, step=base + 2)
    with training_step(base + 50):
        wandb.log({f"{name}/ambient": 4})
    wandb.log({f"{name}/last": 5}, commit=False)


"""


class Left:
    """What the only run, or the run of that id, has left behind."""

    def __init__(self, directory, run="*"):
        (file,) = (directory / "wandb").glob(f"*run-*/run-{run}.wandb")
        self.rows = read_rows(file)
        log = file.parent / "logs" / "debug-internal.log"
        self.thrown_away = [line for line in log.read_text().splitlines() if "ignoring" in line]

    def pairs(self, key):
        """Step on the axis, and value, in the order of the file."""
        return [(row["global_step"], row[key]) for row in self.rows if key in row]


@pytest.fixture
def forking(python):
    """Run a program that forks; gives the lines that it printed."""

    def run(code, **more):
        ended = python(PROLOGUE + textwrap.dedent(code), **more)
        assert ended.code == 0, ended.err
        assert "Traceback" not in ended.err, ended.err
        assert "multiprocessing can result in data loss" not in ended.err
        return ended.lines

    return run


def assert_all_of(left, name, base):
    """All that `log_everything` has logged is there once, at its step."""
    assert [(base + step, step) for step in range(20)] == left.pairs(f"{name}/given")
    assert [(base + 19, 1)] == left.pairs(f"{name}/free")
    assert [(base + 19, 2)] == left.pairs(f"{name}/kept")
    assert [(base + 2, 3)] == left.pairs(f"{name}/back")
    assert [(base + 50, 4)] == left.pairs(f"{name}/ambient")
    assert [(base + 50, 5)] == left.pairs(f"{name}/last")
    ((step, page),) = left.pairs(f"{name}/page")
    assert (base + 2, "html-file") == (step, page["_type"])


def assert_nothing_lost(left, steps):
    """Of the parent; and W&B has thrown away nothing."""
    assert [(step, step) for step in range(int(steps))] == sorted(left.pairs("loss"))
    assert [] == left.thrown_away
    assert len(left.rows) == len({row["_step"] for row in left.rows})


FORKED = """
run = wandb.init()
{before}
with Parent():
    children = [fork(log_everything, name, base) for name, base in (("a", 0), ("b", 1000))]
    print([code_of(child) for child in children])
    worker = multiprocessing.get_context("fork").Process(target=log_everything, args=("worker", 2000))
    worker.start()
    worker.join(30)
    print(worker.exitcode)
run.finish()
"""


def test_all_that_forked_children_log_is_at_its_step(forking, tmp_path):
    """Values with a step, a lower one, and without; kept by `commit=False`; media. They end in `os._exit`."""
    codes, worker, _ = forking("patch()\n" + FORKED.format(before="run.log({'first': 1}, step=0)"))
    assert ("[3, 3]", "0") == (codes, worker)
    left = Left(tmp_path)
    for name, base in (("a", 0), ("b", 1000), ("worker", 2000)):
        assert_all_of(left, name, base)


@pytest.mark.parametrize("before", ["run.log({'first': 1}, step=0)", ""], ids=["after", "before"])
def test_nothing_of_the_parent_is_lost_while_its_children_log(forking, tmp_path, before):
    """Whether they were forked after its first call or before: no row comes too late for W&B."""
    *_, steps = forking("patch()\n" + FORKED.format(before=before))
    assert_nothing_lost(Left(tmp_path), steps)


def test_the_switch_does_the_same_as_the_line(forking, tmp_path):
    """`WANDB_STEP_FIX_ENABLED`, and no word of ours in the program."""
    options = {
        "WANDB_STEP_FIX_BUFFER_SIZE": "5",
        "WANDB_STEP_FIX_FLUSH_INTERVAL": "0.01",
        "OTEL_WANDB_HOLD": "0.05",
    }
    code = """
    run = wandb.init()
    wandb.log({"loss": 0}, step=0)
    print(code_of(fork(log_everything, "a", 0)))
    wandb.log({"loss": 1}, step=1)
    run.finish()
    """
    assert ["3"] == forking(code, on="1", env=options)
    left = Left(tmp_path)
    assert_all_of(left, "a", 0)
    assert_nothing_lost(left, 2)


@pytest.mark.long
def test_each_of_many_short_lived_children_gets_its_value_in(forking, tmp_path):
    """Forked at any moment of the parent's flushes, without hanging."""
    code = """
    patch()
    run = wandb.init()
    with Parent():
        children = []
        for number in range(24):
            children.append(fork(wandb.log, {f"child {number % 4}": number}, number))
            if number % 4 == 3:
                print({code_of(child) for child in children[-4:]})
    run.finish()
    """
    *codes, _ = forking(code)
    assert ["{3}"] * 6 == codes
    left = Left(tmp_path)
    for number in range(4):
        steps = range(number, 24, 4)
        assert [(step, step) for step in steps] == left.pairs(f"child {number}")


def test_a_fork_in_the_middle_of_a_row_of_the_parent_leaves_both_whole(forking, tmp_path):
    """The thread that writes it is not there in the child, and what it held is free."""
    code = """
    patch()
    inside, forked = threading.Event(), threading.Event()
    publish = wandb.sdk.wandb_run.Run._partial_history_callback

    def slowly(self, data, *args, **kwargs):
        if data.get("loss") == 3:
            inside.set()
            forked.wait(20)
        return publish(self, data, *args, **kwargs)

    wandb.sdk.wandb_run.Run._partial_history_callback = slowly
    run = wandb.init()
    for step in range(10):
        wandb.log({"loss": step}, step=step)
    inside.wait(20)
    child = fork(log_everything, "a", 0)
    forked.set()
    print(code_of(child))
    run.finish()
    """
    assert ["3"] == forking(code)
    left = Left(tmp_path)
    assert_all_of(left, "a", 0)
    assert_nothing_lost(left, 10)


def test_a_childs_rows_come_after_what_the_parent_has_under_way(forking, tmp_path):
    """Two processes have two ways to W&B: what was sent first may be read last, and dropped."""
    code = """
    patch()
    publish = wandb.sdk.wandb_run.Run._partial_history_callback
    sent = []

    def under_way(self, *args, **kwargs):
        sent.append(lambda: publish(self, *args, **kwargs))

    def arrive():
        time.sleep(1)
        while sent:
            sent.pop(0)()
        wandb.sdk.wandb_run.Run._partial_history_callback = publish

    run = wandb.init()
    wandb.log({"loss": 0}, step=0)
    finalize_wandb_logging()
    wandb.sdk.wandb_run.Run._partial_history_callback = under_way
    for step in range(1, 10):
        wandb.log({"loss": step}, step=step)
    finalize_wandb_logging()
    assert len(sent) == 9, sent

    def work():
        wandb.sdk.wandb_run.Run._partial_history_callback = publish
        log_everything("a", 0)

    late = threading.Thread(target=arrive)
    child = fork(work)
    late.start()
    print(code_of(child))
    late.join()
    run.finish()
    """
    assert ["3"] == forking(code)
    left = Left(tmp_path)
    assert_all_of(left, "a", 0)
    assert_nothing_lost(left, 10)


@pytest.mark.parametrize("look", ["run.step", "run.url"])
def test_a_child_that_outlives_the_run_does_not_wait(forking, tmp_path, look):
    """W&B has read what the parent has sent; it does not answer for the run any more."""
    code = f"""
    def work():
        {look}  # connects the child to the run
        os.write(connected[1], b"1")
        os.read(is_over[0], 1)
        signal.alarm(10)  # W&B waits for 60 s
        try:
            run.log({{"late": 1}}, step=1)
        except Exception as error:
            print(type(error).__name__, flush=True)

    patch()
    connected, is_over = os.pipe(), os.pipe()
    run = wandb.init()
    for step in range(20):
        run.log({{"loss": step}}, step=step)
    finalize_wandb_logging()
    child = fork(work)
    os.read(connected[0], 1)
    run.finish()
    os.write(is_over[1], b"1")
    print(code_of(child))
    """
    *_, ended = forking(code)
    assert "3" == ended
    assert [(step, step) for step in range(20)] == Left(tmp_path).pairs("loss")


def test_nobody_waits_for_a_child_that_waits(forking, tmp_path):
    """Somebody has written the summary's `_step`, by which it goes where W&B has nothing better."""
    code = """
    from otel_wandb_bridge.write import traffic

    def work():
        has_read = traffic.has_read_until

        def wait(run, step):
            os.write(waits[1], b"1")
            os.read(goes_on[0], 1)
            return has_read(run, step)

        traffic.has_read_until = wait
        wandb.log({"child": 1}, step=1)

    patch()
    waits, goes_on = os.pipe(), os.pipe()
    run = wandb.init()
    run.log({"loss": 0}, step=0)
    finalize_wandb_logging()
    run.summary.update({"_step": 0})
    child = fork(work)
    os.read(waits[0], 1)
    run.log({"loss": 1}, step=1)
    print(finalize_wandb_logging())
    os.write(goes_on[1], b"1")
    print(code_of(child))
    run.finish()
    """
    assert ["True", "3"] == forking(code)
    left = Left(tmp_path)
    assert [(1, 1)] == left.pairs("child")
    assert_nothing_lost(left, 2)


@pytest.mark.long
def test_a_grandchild_is_a_child(forking, tmp_path):
    """Workers fork workers."""
    code = """
    def work():
        log_everything("child", 0)
        print(code_of(fork(log_everything, "grandchild", 1000)), flush=True)
        wandb.log({"after": 1}, step=7)

    patch()
    run = wandb.init()
    wandb.log({"loss": 0}, step=0)
    print(code_of(fork(work)))
    run.finish()
    """
    assert ["3", "3"] == forking(code)
    left = Left(tmp_path)
    assert_all_of(left, "child", 0)
    assert [(1000 + step, step) for step in range(20)] == left.pairs("grandchild/given")
    assert [(7, 1)] == left.pairs("after")
    assert_nothing_lost(left, 1)


def test_a_child_may_have_a_run_of_its_own(forking, tmp_path):
    """It is merged and ordered there, as anywhere; neither run has anything of the other."""
    code = """
    def work():
        run = wandb.init(id="child", reinit=True)
        for step in (3, 1, 2):
            wandb.log({"own": step}, step=step)
        wandb.log({"also": 2}, step=2)
        run.finish()

    patch()
    run = wandb.init(id="parent")
    wandb.log({"first": 1}, step=0)
    with Parent():
        print(code_of(fork(work)))
    run.finish()
    """
    code, steps = forking(code)
    assert "3" == code
    child, parent = Left(tmp_path, "child"), Left(tmp_path, "parent")
    assert [(1, 1), (2, 2), (3, 3)] == child.pairs("own")
    assert [(2, 2)] == child.pairs("also")
    assert len({row["global_step"] for row in child.rows}) == len(child.rows)
    assert_nothing_lost(parent, steps)
    assert not any("own" in row for row in parent.rows)
    assert not any("loss" in row for row in child.rows)


def test_the_other_functions_work_in_a_child(forking, tmp_path):
    """Steps are announced, what was logged is written, and the counts are of the child alone."""
    code = """
    def work():
        update_training_step(40)
        wandb.log({"ambient": 1})
        safe_wandb_log({"safe": 2}, step=41, source="evaluator", priority=1)
        print(finalize_wandb_logging(), flush=True)
        stats = get_step_manager().get_stats()
        print(json.dumps([stats[name] for name in ("total_logs", "written", "dropped_logs")]), flush=True)

    patch()
    run = wandb.init()
    for step in range(5):
        wandb.log({"loss": step}, step=step)
    print(code_of(fork(work)))
    run.finish()
    """
    flushed, counts, ended = forking(code)
    assert ("True", [2, 2, 0], "3") == (flushed, json.loads(counts), ended)
    left = Left(tmp_path)
    assert [(40, 1)] == left.pairs("ambient")
    assert [(41, 2)] == left.pairs("safe")
    assert_nothing_lost(left, 5)


def test_a_bad_call_in_a_child_raises_what_wandb_raises(forking, tmp_path):
    """At the caller's line, and costs the calls after it nothing."""
    code = """
    def work():
        for bad in ({1: 2}, [1], {"value": object()}):
            try:
                wandb.log(bad, step=1)
            except (TypeError, ValueError) as error:  # the latter is wandb 0.18's
                print(str(error)[:40], flush=True)
        wandb.log({"good": 1}, step=1)

    patch()
    run = wandb.init()
    wandb.log({"loss": 0}, step=0)
    print(code_of(fork(work)))
    run.finish()
    """
    keys, mapping, *_, ended = forking(code)
    assert keys.startswith("Key values passed to")
    assert mapping.startswith("wandb.log must be passed")
    assert "3" == ended
    assert [(1, 1)] == Left(tmp_path).pairs("good")


def test_a_child_that_was_sent_the_run_gets_its_values_in(forking, tmp_path):
    """`spawn` pickles it. (Where the parent logs at the same time, W&B may drop rows of the parent.)"""
    code = """
    def work(run):
        for step in range(5):
            run.log({"sent": step}, step=step)
        run.log({"free": 1})

    if __name__ == "__main__":
        run = wandb.init()
        run.log({"loss": 0}, step=0)
        finalize_wandb_logging()
        child = multiprocessing.get_context("spawn").Process(target=work, args=[run])
        child.start()
        child.join(40)
        print(child.exitcode)
        for step in range(1, 9):
            run.log({"loss": step}, step=step)
        run.finish()
    """
    assert ["0"] == forking(code, on="1")
    left = Left(tmp_path)
    assert [(step, step) for step in range(5)] == left.pairs("sent")
    assert [(4, 1)] == left.pairs("free")
    assert_nothing_lost(left, 9)
