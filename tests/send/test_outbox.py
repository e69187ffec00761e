"""What waits is sent in its order, each until it is acknowledged; nothing is lost uncounted."""

import threading

import pytest
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult

from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.send.answer import LastAnswer
from otel_wandb_bridge.send.outbox import Outbox
from otel_wandb_bridge.send.parcels import Parcel

SUCCESS, FAILURE = MetricExportResult.SUCCESS, MetricExportResult.FAILURE


class Exporter(MetricExporter):
    """Answers as told; what it took is in `taken`."""

    def __init__(self, answer=lambda data: SUCCESS):
        super().__init__()
        self.answer = answer
        self.taken = []
        self.tries = 0

    def export(self, metrics_data, timeout_millis=10_000, **kwargs):
        self.tries += 1
        result = self.answer(metrics_data)
        if result is SUCCESS:
            self.taken.append(metrics_data)
        return result

    def force_flush(self, timeout_millis=10_000):
        return True

    def shutdown(self, timeout_millis=30_000, **kwargs):
        """Nothing to do."""


def outbox(exporter, bound=100):
    """An outbox that does not wait between tries."""
    ledger = Ledger()
    return Outbox(
        exporter, ledger, bound, LastAnswer(), pause=lambda event, seconds: event.wait(0.001)
    ), ledger


def test_parcels_go_in_their_order():
    """And are counted as sent."""
    exporter = Exporter()
    box, ledger = outbox(exporter)
    for name in "abc":
        box.put(Parcel(name, 2))
    assert box.flush(10)
    assert ["a", "b", "c"] == exporter.taken
    assert (6, 0) == (ledger.sent, box.waiting)


def test_a_receiver_that_comes_back_gets_everything():
    """Each parcel is sent until it is acknowledged."""
    failing = [FAILURE, FAILURE, RuntimeError("no network")]

    def answer(data):
        result = failing.pop(0) if failing else SUCCESS
        if isinstance(result, Exception):
            raise result
        return result

    exporter = Exporter(answer)
    box, ledger = outbox(exporter)
    box.put(Parcel("a", 1))
    assert box.flush(10)
    assert ["a"] == exporter.taken
    assert 1 == ledger.sent


def test_past_the_bound_the_newest_are_shed_and_counted(caplog):
    """A receiver that is away for good costs no memory."""
    box, ledger = outbox(Exporter(lambda data: FAILURE), bound=10)
    for index in range(5):
        box.put(Parcel(str(index), 4))
    assert 8 == box.waiting
    assert 12 == ledger.shed
    assert "max_pending=10" in caplog.text
    box.stop(0)
    assert (20, 0) == (ledger.shed, box.waiting)


def test_a_parcel_that_is_too_large_for_the_bound_goes_alone():
    """It could never go otherwise."""
    exporter = Exporter()
    box, ledger = outbox(exporter, bound=10)
    box.put(Parcel("large", 50))
    assert box.flush(10)
    assert 50 == ledger.sent


def test_a_parcel_that_is_refused_while_others_are_taken_is_given_up(caplog):
    """One bad request does not stop the road; it is rejected by name."""
    exporter = Exporter(lambda data: FAILURE if data == "bad" else SUCCESS)
    box, ledger = outbox(exporter)
    for name in ("bad", "good", "better"):
        box.put(Parcel(name, 1))
    assert box.flush(10)
    assert ["good", "better"] == exporter.taken
    assert {"refused": 1} == dict(ledger.rejected)
    assert 2 == ledger.sent
    assert "refuses" in caplog.text


@pytest.mark.parametrize("tries", range(1, 8))
def test_a_receiver_that_comes_back_between_two_parcels_gets_both(tries):
    """That the next one was taken says nothing of one that was tried before the receiver was back."""
    exporter = Exporter(lambda data: SUCCESS if exporter.tries > tries else FAILURE)
    box, ledger = outbox(exporter)
    for name in "abc":
        box.put(Parcel(name, 1))
    assert box.flush(10)
    assert (3, {}) == (ledger.sent, dict(ledger.rejected))
    assert {"a", "b", "c"} == set(exporter.taken)


def test_stopping_waits_no_longer_than_it_is_told_and_counts_what_is_left(caplog):
    """The end of a program is not held up by a receiver that is away."""
    hanging = threading.Event()
    exporter = Exporter(lambda data: (hanging.wait(20), SUCCESS)[1])
    box, ledger = outbox(exporter)
    box.put(Parcel("a", 3))
    box.stop(0.05)
    assert (3, 0, 0) == (ledger.shed, ledger.sent, box.waiting)
    assert "3 samples" in caplog.text
    hanging.set()
    box.put(Parcel("late", 1))
    assert 4 == ledger.shed


def test_a_child_begins_with_nothing_and_counts_for_itself():
    """What waits is the parent's to send."""
    exporter = Exporter(lambda data: FAILURE)
    box, ledger = outbox(exporter)
    box.put(Parcel("a", 3))
    own = Ledger()
    box.clear(own)
    exporter.answer = lambda data: SUCCESS
    box.put(Parcel("b", 1))
    assert box.flush(10)
    assert 1 == own.sent
    assert 0 == ledger.sent


@pytest.mark.parametrize("threads", [4])
def test_what_many_threads_put_in_is_all_sent(threads):
    """Nothing is lost between them."""
    exporter = Exporter()
    box, ledger = outbox(exporter, bound=1_000_000)

    def put():
        for index in range(500):
            box.put(Parcel(index, 1))

    workers = [threading.Thread(target=put) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert box.flush(20)
    assert threads * 500 == ledger.sent == len(exporter.taken)
