"""Rows that W&B's service is sent in one trip: each once and in order, whatever fails on the way."""

import asyncio
import contextlib
import threading
from types import SimpleNamespace

import hypothesis.strategies as some
import numpy
import pytest
import wandb
from hypothesis import given
from watched_run import WatchedRun, numbers, take

from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.testing import FakeRun, read_rows
from otel_wandb_bridge.write.run import WANDB_THREAD
from otel_wandb_bridge.write.trip import TRIP, TRIP_SAMPLES, Trip, interface_of
from otel_wandb_bridge.write.writer import RunWriter


class Service:
    """W&B's thread and its service, as `wandb.Run` talks to them: it fails when it is told to."""

    def __init__(self):
        self.trips = []
        """How many records went at once."""
        self.fails_after = None
        """So many more records, and then this error."""
        self.error = ConnectionError("gone")

    def run(self, send):
        self.trips.append(0)
        return asyncio.run(send())

    def take(self):
        if self.fails_after == 0:
            self.fails_after = None
            raise self.error
        if self.fails_after is not None:
            self.fails_after -= 1
        self.trips[-1] += 1


class Interface:
    """What a run sends with."""

    def __init__(self, service):
        self._asyncer = service
        self._service = service

    def publish(self, do):
        async def send():
            self._service.take()
            do()

        self._asyncer.run(send)

    def _deliver(self, question):
        async def answer():
            self._service.take()
            return question()

        return self._asyncer.run(answer)


class ServedRun(WatchedRun):
    """A run in memory that is written by a service."""

    def __init__(self, **more):
        super().__init__(**more)
        self.service = Service()
        self._interface = Interface(self.service)

    def _log(self, data, step=None, commit=None):
        if "\ud800" in data:
            raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
        values = dict(data)
        self._interface.publish(lambda: FakeRun.log(self, values, step=step, commit=commit))

    @property
    def step(self):
        return self._interface._deliver(lambda: FakeRun.step.fget(self))


@pytest.fixture
def run():
    return ServedRun()


@pytest.fixture
def writer(run):
    made = RunWriter(run, "global_step", Ledger())
    run.service.trips.clear()
    yield made
    made.close()


def test_wandb_still_has_the_private_names(tmp_path):
    """Should W&B rename what a trip is made of, each row would be sent by itself: right, but dear."""
    with wandb.init(mode="offline", dir=tmp_path) as run:
        file, interface = run.settings.sync_file, interface_of(run)
        assert interface is not None, "wandb.Run has no _interface with _asyncer and _deliver: write/trip.py"
        assert WANDB_THREAD in {thread.name for thread in threading.enumerate()}, (
            "W&B's thread has another name"
        )
        writer, visits = RunWriter(run, "global_step", Ledger()), []
        asyncer = interface._asyncer
        take(writer, 0)  # which is written by itself

        class Counting:
            def run(self, send):
                visits.append(threading.get_ident())  # threads of W&B's ask how the run is
                return asyncer.run(send)

            def __getattr__(self, name):
                return getattr(asyncer, name)

        writer.flush()
        take(writer, *range(1, 21))
        interface._asyncer = Counting()
        try:
            writer.flush()
        finally:
            interface._asyncer = asyncer
        assert 1 == visits.count(threading.get_ident()), "W&B sends another way now: write/trip.py"
        writer.close()
    assert [(step, step / 2) for step in range(21)] == [
        (row["_step"], row["loss"]) for row in read_rows(file)
    ]


def test_rows_go_in_trips(writer, run):
    """As many rows as make one, or as many samples; an array by itself, in their turn."""
    take(writer, *range(TRIP + 10))
    assert writer.flush()
    assert [TRIP, 10] == run.service.trips
    run.service.trips.clear()
    many = {f"key{number}": number for number in range(TRIP_SAMPLES // 3)}
    take(writer, *range(100, 107), **many)
    assert writer.flush()
    assert [3, 3, 1] == run.service.trips
    run.service.trips.clear()
    take(writer, 200, 201)
    take(writer, 202, array=numpy.arange(2))
    take(writer, 203, 204)
    assert writer.flush()
    assert [2, 1, 2] == run.service.trips
    steps = [*range(TRIP + 10), *range(100, 107), *range(200, 205)]
    assert [(step, step) for step in steps] == numbers(run)


def test_rows_that_nobody_could_tell_apart_go_by_themselves():
    """Where W&B numbers them, it does not say which have arrived."""
    run = ServedRun()
    run.settings = SimpleNamespace(mode="shared")
    writer = RunWriter(run, "global_step", Ledger())
    take(writer, 0, 1, 2)
    assert writer.flush()
    assert [1, 1, 1] == run.service.trips[-3:]
    writer.close()


@pytest.mark.parametrize(
    "interface",
    [None, object(), SimpleNamespace(_asyncer=None), SimpleNamespace(_asyncer=SimpleNamespace(run=print))],
)
def test_where_wandb_is_another_each_row_is_sent_by_itself(interface):
    """An older or a newer one, or a run in memory."""
    run = FakeRun()
    run._interface = interface
    writer = RunWriter(run, "global_step", Ledger())
    take(writer, 0, 1, 2)
    assert writer.flush()
    assert [(0, 0), (1, 1), (2, 2)] == numbers(run)
    writer.close()


def test_a_row_that_wandb_cannot_take_is_dealt_with_by_itself(writer, run):
    """What is before it is sent, what is after it follows."""
    refused = []
    writer.on_refused = lambda row, keys: refused.append((row.step, [*keys])) or len(keys)
    take(writer, 0, 1)
    take(writer, 2, **{"\ud800": 1.0})
    take(writer, 3, 4)
    assert writer.flush()
    assert [(2, ["\ud800"])] == refused
    assert [(step, step) for step in range(5)] == numbers(run)
    assert [step / 2 for step in range(5)] == [row["loss"] for row in run.rows]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "how", [{}, {"step": None, "commit": False}, {"step": "next"}, {"step": "next", "commit": True}]
)
def test_what_somebody_logs_in_the_middle_of_a_row_costs_none(run, writer, when, how):
    """A wrapper of `run.log`, a finalizer, a signal handler: W&B has all of it."""
    log, theirs = run.log, []

    def add():
        theirs.append(len(theirs))
        more = {**how, "step": 100 * len(theirs)} if how.get("step") else how
        run._log({"theirs": theirs[-1]}, **more)

    def logging(data, step=None, commit=None):
        if when == "before" and data["loss"] % 3 == 0:
            add()
        log(data, step=step, commit=commit)
        if when == "after" and data["loss"] % 3 == 0:
            add()

    run.log = logging
    take(writer, *range(20))
    assert writer.flush()
    run.finish()
    assert [step / 2 for step in range(20)] == [row["loss"] for row in run.rows if "loss" in row]
    assert [*range(20)] == [row["global_step"] for row in run.rows if "loss" in row]
    assert theirs == [row["theirs"] for row in run.rows if "theirs" in row]
    assert 20 + len(theirs) == len(run.rows)
    assert [] == run.dropped


def test_a_trip_ends_where_the_flush_is_to_end(writer, run):
    """What was made until then is sent."""
    asked = iter([True, True, False, False])
    take(writer, 0, 1, 2, 3, 4)
    assert not writer.flush(lambda: next(asked))
    assert [3] == run.service.trips
    assert 2 == writer.unconfirmed
    assert writer.flush()
    assert [(step, step) for step in range(5)] == numbers(run)


@given(some.integers(0, 12), some.lists(some.integers(0, 5), max_size=3), some.booleans())
def test_each_row_arrives_once_and_in_order_whatever_fails(rows, failures, interrupts):
    """Also where the trip is interrupted: what has arrived is known."""
    run = ServedRun()
    writer = RunWriter(run, "global_step", Ledger())
    told = []
    writer.before_commit = lambda rows, otherwise: told.extend(step for _, step in rows)
    if interrupts:
        run.service.error = KeyboardInterrupt()
    take(writer, *range(rows))
    for fails_after in failures:
        run.service.fails_after = fails_after
        with contextlib.suppress(ConnectionError, KeyboardInterrupt):
            writer.flush()
        assert rows == writer.unconfirmed + writer._ledger.rows
        assert len(run.rows) == writer._ledger.rows
    run.service.fails_after = None
    writer.begin()
    assert writer.flush()
    writer.close()
    assert [(step, step) for step in range(rows)] == numbers(run)
    assert set(range(rows)) == set(told)
    assert [] == run.dropped


def test_a_question_within_a_trip_is_asked_after_what_goes_before(run):
    """Somebody's wrapper of `run.log` that looks at the step, say."""
    with Trip(run._interface) as trip:
        run.log({"a": 0}, step=0, commit=True)
        trip.end_row()
        assert (0, 0) == (len(run.rows), trip.arrived)
        assert 1 == run.step
        assert (1, 1) == (len(run.rows), trip.arrived)
        run.log({"a": 1}, step=1, commit=True)
        trip.end_row()
    assert [1, 1, 1] == run.service.trips
    assert 2 == trip.arrived
    run.log({"a": 2}, step=2, commit=True)
    assert [0, 1, 2] == [row["a"] for row in run.rows]


def test_what_other_threads_send_goes_at_once(run):
    """Their `run.summary`, say; W&B's rows are kept from them by a lock."""
    with Trip(run._interface):
        run.log({"ours": 0}, step=0, commit=True)

        def other():
            run.log({"theirs": 0}, step=0, commit=False)
            steps.append(run.step)

        steps = []
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert [0] == steps
    assert [{"_step": 0, "theirs": 0, "ours": 0}] == run.rows


def test_an_error_within_a_trip_still_sends_what_was_made(run):
    """And everything is as it was."""
    asyncer = run._interface._asyncer
    trip = Trip(run._interface)

    def fail():
        with trip:
            run.log({"a": 0}, step=0, commit=True)
            trip.end_row()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert 1 == trip.arrived
    assert {"_asyncer": asyncer, "_service": asyncer} == vars(run._interface)


def test_a_trip_that_is_interrupted_ends_with_what_is_being_sent():
    """W&B's thread goes on meanwhile: it is waited for, and then it is known what has gone."""
    sent, is_sending, goes_on = [], threading.Event(), threading.Event()

    def send(number):
        async def send():
            if number == 1:
                is_sending.set()
                assert goes_on.wait(10)
            sent.append(number)

        return send

    class Asyncer:
        def __init__(self):
            self.loop = asyncio.new_event_loop()
            self.thread = threading.Thread(target=self.loop.run_forever)
            self.thread.start()

        def run(self, function):
            if is_sending.is_set():
                goes_on.set()
                return asyncio.run_coroutine_threadsafe(function(), self.loop).result()
            asyncio.run_coroutine_threadsafe(function(), self.loop)
            assert is_sending.wait(10)
            raise KeyboardInterrupt

    asyncer = Asyncer()
    trip = Trip(SimpleNamespace(_asyncer=asyncer))

    def go():
        with trip:
            for number in range(4):
                trip.run(send(number))
                trip.end_row()

    with pytest.raises(KeyboardInterrupt):
        go()
    assert ([0, 1], 2) == (sent, trip.arrived)
    asyncer.loop.call_soon_threadsafe(asyncer.loop.stop)
    asyncer.thread.join()
    asyncer.loop.close()


def test_a_wait_for_room_that_is_interrupted_is_after_the_sending():
    """W&B's own cancelling: the record is in the socket, or will be."""
    sent = []

    async def send():
        sent.append(len(sent))
        await asyncio.sleep(60)

    class Asyncer:
        def run(self, send_all):
            async def interrupt():
                task = asyncio.create_task(send_all())
                await asyncio.sleep(0)
                task.cancel()
                await task

            if send_all.__name__ != "_send_all":
                return None
            return asyncio.run(interrupt())

    trip = Trip(SimpleNamespace(_asyncer=Asyncer()))

    def go():
        with trip:
            for _ in range(3):
                trip.run(send)
                trip.end_row()

    with pytest.raises(asyncio.CancelledError):
        go()
    assert ([0], 1) == (sent, trip.arrived)
