"""When what the main thread may still record has come: by its answers to knocks, in a world of fakes."""

import os
import weakref

import pytest

from otel_wandb_bridge.runtime import signals

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of other platforms end nothing like this")


class Recorder:
    """What is rescued, and whether the main thread had come to its end by then."""

    def __init__(self, waits):
        self._waits = waits
        self.found_attended = None

    def rescue(self, seconds):
        self.found_attended = self._waits.attended


class Waits:
    """`is_attended`: on a busy machine, each wait takes a tenth of a second. Then `meanwhile` happens."""

    def __init__(self, clock, attended_after, meanwhile):
        self._clock = clock
        self._left = attended_after
        self._meanwhile = meanwhile
        self.attended = False

    def wait(self, seconds):
        self._clock.now += 0.1
        self._meanwhile()
        self._left -= 1
        self.attended = self._left <= 0
        return self.attended


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


def rescued_with(monkeypatch, meanwhile, *, attended_after, grace=60.0):
    """Whether the main thread had been attended when the rescue began."""
    clock = Clock()
    monkeypatch.setattr(signals, "time", clock)
    death = signals._Death(15)
    waits = death.is_attended = Waits(clock, attended_after, lambda: meanwhile(death, clock.now))
    recorder = Recorder(waits)
    monkeypatch.setattr(signals, "_endangered", [(weakref.ref(recorder), grace)])
    signals._rescue(death)
    assert death.is_written.is_set()
    return recorder.found_attended


def test_a_main_thread_that_nobody_knocks_at_is_waited_for(monkeypatch):
    """On a busy machine, the thread that knocks may not come to it for long."""
    assert rescued_with(monkeypatch, lambda death, now: None, attended_after=50)


def test_a_main_thread_that_answers_is_waited_for(monkeypatch):
    """It is in a library whose locks are needed, and goes on recording."""

    def knock_and_answer(death, now):
        death.knocked = death.answered = now

    assert rescued_with(monkeypatch, knock_and_answer, attended_after=300)


def test_a_main_thread_that_does_not_answer_is_not_waited_for(monkeypatch):
    """It is in a long call that is not Python, and records nothing."""

    def knock(death, now):
        death.knocked = now

    assert not rescued_with(monkeypatch, knock, attended_after=400)


def test_there_is_time_left_to_write(monkeypatch):
    """Whatever the main thread does."""
    assert not rescued_with(monkeypatch, lambda death, now: None, attended_after=150, grace=20.0)
