"""A flush that is asked for comes soon, and a recording thread wakes nobody for it twice."""

import queue
import threading
import time

import pytest

from otel_wandb_bridge.runtime import flusher as module
from otel_wandb_bridge.runtime.flusher import Flusher


class Calls:
    """The queue that the thread waits at, counting what is put in."""

    def __init__(self):
        self._calls = queue.SimpleQueue()
        self.get = self._calls.get
        self.puts = 0

    def put(self, call):
        self.puts += 1
        self._calls.put(call)


@pytest.fixture
def flushes():
    return queue.SimpleQueue()


@pytest.fixture
def flusher(flushes):
    made = Flusher(lambda: flushes.put(threading.current_thread().name))
    made._calls = Calls()
    made.start()
    yield made
    made.stop()
    made._thread.join(10)


def until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_nobody_wakes_it_while_it_looks_by_itself(flusher, flushes):
    """From its start on: each call of a hot loop asks for a flush."""
    until(lambda: flusher._is_looking)
    for _ in range(20):
        flusher.wake_soon()
        flushes.get(timeout=10)
        until(lambda: flusher._is_looking)
    assert 0 == flusher._calls.puts


def test_it_does_not_look_for_ever(flusher, flushes, monkeypatch):
    """A program that logs a little has no thread that wakes up all the time; it is woken once more."""
    monkeypatch.setattr(module, "_LOOK", 0.001)
    monkeypatch.setattr(module, "_LOOKS", 3)
    flusher._calls.put(0.0)
    flushes.get(timeout=10)
    flusher._calls.puts = 0
    for _ in range(5):
        until(lambda: not flusher._is_looking)
        flusher.wake_soon()
        flushes.get(timeout=10)
    assert 5 == flusher._calls.puts


class AskedAtTheLastMoment(Flusher):
    """Somebody sees it look and leaves a mark, just before it looks no more."""

    def __setattr__(self, name, value):
        if name == "_is_looking" and not value and getattr(self, name, False):
            super().__setattr__("_is_due", True)
        super().__setattr__(name, value)


def test_what_is_asked_for_when_it_stops_looking_is_not_missed(flushes, monkeypatch):
    """Whichever comes first."""
    monkeypatch.setattr(module, "_LOOK", 0.001)
    monkeypatch.setattr(module, "_LOOKS", 1)
    flusher = AskedAtTheLastMoment(lambda: flushes.put(None))
    flusher.start()
    flusher.wake_soon()
    for _ in range(5):
        flushes.get(timeout=10)
    flusher.stop()
    flusher._thread.join(10)


def test_who_cannot_wait_wakes_it_while_it_looks(flusher, flushes, monkeypatch):
    """At a signal, say."""
    monkeypatch.setattr(module, "_LOOK", 3_600)
    flusher.wake_soon()
    flushes.get(timeout=10)
    until(lambda: flusher._is_looking)
    flusher.wake()
    flushes.get(timeout=10)


def test_a_deadline_is_kept_while_it_looks(flusher, flushes, monkeypatch):
    """And looks are no flushes."""
    monkeypatch.setattr(module, "_LOOK", 0.001)
    flusher.wake_soon()
    flushes.get(timeout=10)
    flusher.wake_after(0.05)
    began = time.monotonic()
    assert "otel-wandb-flusher" == flushes.get(timeout=10)
    assert time.monotonic() - began > 0.02
    assert flushes.empty()
