"""A count that forked processes share, and a lock that does not outlive the process that holds it."""

import os
import signal
import tempfile
import threading
import types

import pytest

from otel_wandb_bridge.testing import FakeRun
from otel_wandb_bridge.write import shared_count
from otel_wandb_bridge.write.shared_count import SharedCount
from otel_wandb_bridge.write.traffic import traffic_of

fcntl = pytest.importorskip("fcntl", reason="a platform that cannot fork")
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # a fork beside threads
LIMIT = 30
"""Seconds until a child that hangs is ended by its own alarm, which fails the test."""


@pytest.fixture(autouse=True)
def has_not_forked(monkeypatch):
    """As in a program that has not forked yet."""
    monkeypatch.setattr(shared_count, "_has_forked", False)


@pytest.fixture
def count():
    return SharedCount()


def started(work, *counts):
    """Fork a child that does `work`, and ends with what it returns; gives its id."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        signal.alarm(LIMIT)
        for each in counts:
            each.after_fork()
        code = work() or 0
    finally:
        os._exit(code)


def ended(child):
    """Wait for a child; its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def forked(work, *counts):
    return ended(started(work, *counts))


def is_free_for_others(count):
    """Whether another process could hold it right now."""

    def try_it():
        def lock_or_fail(file, operation):
            return fcntl.lockf(file, operation | fcntl.LOCK_NB if operation == fcntl.LOCK_EX else operation)

        shared_count.fcntl = types.SimpleNamespace(**{**vars(fcntl), "lockf": lock_or_fail})
        try:
            with count.held():
                return 0
        except BlockingIOError:
            return 1

    code = forked(try_it, count)
    assert code in (0, 1)
    return code == 0


def add(count, times=1):
    for _ in range(times):
        with count.held():
            count.add()


def test_what_a_child_counts_arrives(count):
    """However it ends."""
    assert 0 == count.value
    assert 0 == forked(lambda: add(count, 3), count)
    assert 3 == count.value
    assert 0 == forked(lambda: add(count), count)
    assert 4 == count.value


def test_what_a_grandchild_counts_arrives(count):
    """All that descend from the process that made it share it."""

    def work():
        add(count)
        return forked(lambda: add(count, 2), count)

    assert 0 == forked(work, count)
    assert 3 == count.value


def test_a_child_sees_what_its_siblings_count(count):
    """Also those that were forked earlier."""
    forked(lambda: add(count, 2), count)
    assert 2 == forked(lambda: count.value, count)


def test_what_the_process_itself_counts_is_not_shared(count):
    """It knows its own calls; the count is of the others."""
    forked(lambda: 0, count)
    add(count, 5)
    assert 0 == count.value
    assert not count.is_child


def test_a_child_sees_the_number_that_was_left_last(count):
    """Before the first fork, there is nobody to leave it to."""
    count.leave(9)
    assert 1 == forked(lambda: count.left is None, count)
    count.leave(5)
    count.leave(7)
    assert 7 == forked(lambda: count.left, count)
    forked(lambda: count.leave(0), count)
    assert 0 == count.left


def test_a_number_that_was_left_and_a_count_do_not_disturb_each_other(count):
    """They stand in one file."""
    forked(lambda: add(count, 2), count)
    count.leave(2**40)
    forked(lambda: add(count), count)
    assert (3, 2**40) == (count.value, count.left)


def test_no_count_is_lost_when_all_count_at_once(count):
    """Each of them reads and writes with the others kept out."""
    children = [started(lambda: add(count, 500), count) for _ in range(4)]
    assert [0, 0, 0, 0] == [ended(child) for child in children]
    assert 2000 == count.value


def test_two_counts_are_apart():
    """Each run has its own."""
    one, other = SharedCount(), SharedCount()
    forked(lambda: add(one, 2), one, other)
    assert (2, 0) == (one.value, other.value)
    with one.held():
        assert not is_free_for_others(one)
        assert is_free_for_others(other)


def test_who_holds_it_keeps_the_others_out(count):
    """Until the end of the block."""
    forked(lambda: 0, count)
    with count.held():
        assert not is_free_for_others(count)
    assert is_free_for_others(count)


def test_what_is_held_twice_is_free_after_the_outer_block(count):
    """A row of ours is logged inside a block of ours."""
    forked(lambda: 0, count)
    with count.held():
        with count.held():
            assert not is_free_for_others(count)
        assert not is_free_for_others(count)
    assert is_free_for_others(count)


def test_an_error_in_the_block_frees_it(count):
    """W&B raises in there."""
    forked(lambda: 0, count)
    with pytest.raises(RuntimeError), count.held(), count.held():
        raise RuntimeError
    assert is_free_for_others(count)


def test_a_fork_inside_the_block_leaves_it_with_the_parent(count):
    """The child is not the holder, whatever was copied into it; and the parent still is."""
    forked(lambda: 0, count)
    with count.held():
        assert not is_free_for_others(count)
        assert not is_free_for_others(count)


def test_the_very_first_fork_inside_the_block_leaves_it_with_the_parent(count):
    """The parent took it when there was nobody to share with, and is in the middle of a row."""
    with count.held():
        assert not is_free_for_others(count)
    assert is_free_for_others(count)


def test_a_block_that_ends_at_the_very_moment_of_a_fork_leaves_it_free(count, monkeypatch):
    """A thread may leave it while another one forks: else the child would wait for the parent's next row."""
    may_leave, entered, lock = threading.Event(), threading.Event(), fcntl.lockf

    def hold():
        with count.held():
            entered.set()
            may_leave.wait(10)

    def leave_and_lock(file, operation):
        if threading.current_thread() is not holder:
            may_leave.set()
            holder.join()
        return lock(file, operation)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(10)
    monkeypatch.setattr(fcntl, "lockf", leave_and_lock)
    forked(lambda: 0, count)
    may_leave.set()
    holder.join()
    monkeypatch.undo()
    monkeypatch.setattr(shared_count, "_has_forked", True)
    assert is_free_for_others(count)


def test_a_killed_holder_frees_it(count):
    """SIGKILL leaves no time to clean up: the kernel does."""
    reading, writing = os.pipe()

    def hold_for_ever():
        with count.held():
            os.write(writing, b"x")
            while True:
                signal.pause()

    child = started(hold_for_ever, count)
    assert b"x" == os.read(reading, 1)
    assert not is_free_for_others(count)
    os.kill(child, signal.SIGKILL)
    assert -signal.SIGKILL == ended(child)
    assert is_free_for_others(count)
    with count.held():
        pass
    os.close(reading)
    os.close(writing)


def test_a_holder_that_ends_without_a_word_frees_it(count):
    """`os._exit` in the middle of the block."""

    def end_inside():
        with count.held():
            os._exit(3)

    assert 3 == forked(end_inside, count)
    assert is_free_for_others(count)


def test_before_the_first_fork_it_costs_no_system_call(count, monkeypatch):
    """There is nobody to share with."""

    def fail(*args):
        raise AssertionError("a system call")

    monkeypatch.setattr(shared_count.fcntl, "lockf", fail)
    monkeypatch.setattr(os, "pread", fail)
    monkeypatch.setattr(os, "pwrite", fail)
    add(count)
    assert 0 == count.value


def test_nothing_is_left_behind_in_the_temporary_directory(tmp_path, monkeypatch):
    """The file has no name: a process that is killed leaves none either."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    count = SharedCount()
    assert 0 == forked(lambda: add(count), count)
    assert 1 == count.value
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("lacks", ["directory", "locks"])
def test_where_nothing_can_be_shared_each_process_works_alone(lacks, monkeypatch):
    """No temporary directory can be written, or the platform has no `fcntl`."""
    if lacks == "directory":
        monkeypatch.setattr(tempfile, "tempdir", "/nonexistent/directory")
    else:
        monkeypatch.setattr(shared_count, "fcntl", None)
    count = SharedCount()

    def work():
        with count.held(), count.held():
            add(count)
        return count.value

    assert 0 == work()
    assert 0 == forked(work, count)
    assert 0 == work()


def test_a_run_learns_that_a_child_has_written_to_it():
    """The next row of the parent asks W&B for its step again."""
    run = FakeRun()
    traffic = traffic_of(run)
    seen = traffic.foreign_calls

    def write():
        with traffic.ours():
            run.log({"loss": 1})

    assert 0 == forked(write)
    assert seen + 1 == traffic.foreign_calls
    write()
    assert seen + 1 == traffic.foreign_calls


def test_a_child_never_relies_on_what_it_knows_of_its_parents_run():
    """It does not see the parent's calls, so each look says that there were more."""
    run = FakeRun()  # its traffic is known for as long as it is there
    traffic = traffic_of(run)
    assert 0 == forked(lambda: int(not traffic.foreign_calls < traffic.foreign_calls))
    assert run is not None
