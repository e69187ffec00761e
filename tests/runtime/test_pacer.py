"""A flush in the background works in short turns."""

import threading
from itertools import pairwise

from otel_wandb_bridge.runtime.pacer import SLICE, Pacer


class Interpreter:
    """A clock; somebody else takes the lock for `taken` seconds whenever it is offered."""

    def __init__(self, taken):
        self.now = 0.0
        self.taken = taken
        self.offers = []

    def offer(self):
        self.offers.append(self.now)
        self.now += self.taken

    def pacer(self):
        return Pacer(lambda: self.now, self.offer)

    def work(self, pacer, pieces, seconds=0.0001):
        for _ in range(pieces):
            self.now += seconds
            pacer.tick()


def in_a_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def test_the_lock_is_offered_after_each_slice_of_work():
    """Not after each piece of it."""
    interpreter = Interpreter(taken=0.005)
    pacer = interpreter.pacer()
    in_a_thread(pacer.begin)
    interpreter.work(pacer, 50)
    turns = [after - before - 0.005 for before, after in pairwise(interpreter.offers)]
    assert 8 <= len(interpreter.offers) <= 10
    assert all(SLICE <= turn <= 2 * SLICE for turn in turns)


def test_a_flush_in_the_main_thread_is_not_paced():
    """Whoever called it waits for it."""
    interpreter = Interpreter(taken=0.005)
    pacer = interpreter.pacer()
    pacer.begin()
    interpreter.work(pacer, 50)
    assert [] == interpreter.offers


def test_who_waits_a_second_for_the_lock_is_starved():
    """Not before, and not where nobody takes it."""
    interpreter = Interpreter(taken=0.005)
    pacer = interpreter.pacer()
    in_a_thread(pacer.begin)
    interpreter.work(pacer, 500)
    assert interpreter.now < 1.0
    assert not pacer.is_starved
    interpreter.work(pacer, 2_000)
    assert pacer.is_starved
    in_a_thread(pacer.begin)
    assert not pacer.is_starved

    alone = Interpreter(taken=0.0)
    pacer = alone.pacer()
    in_a_thread(pacer.begin)
    alone.work(pacer, 50_000)
    assert alone.now > 1.0
    assert not pacer.is_starved


def test_the_more_waits_the_longer_are_the_turns():
    """Up to the interpreter's own: whoever is far behind has to catch up first."""
    offers = []
    for backlog in (0, 25_000, 10**9):
        interpreter = Interpreter(taken=0.005)
        pacer = interpreter.pacer()
        in_a_thread(lambda pacer=pacer, backlog=backlog: pacer.begin(backlog))
        interpreter.work(pacer, 1_000)
        offers.append(len(interpreter.offers))
    assert 150 <= offers[0] <= 200
    assert 85 <= offers[1] <= 100
    assert 18 <= offers[2] <= 20
