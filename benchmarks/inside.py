"""The process that is measured: does one work with one contender, and prints what it cost as JSON.

python -m benchmarks.inside '{"work": "W1", "contender": "WandbLog", "steps": 2000}'
"""

import contextlib
import json
import random
import resource
import statistics
import sys
import threading
import time
from array import array
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .contenders import CONTENDERS, Contender
from .works import LAGS, WORKS, Work

_clock = time.perf_counter_ns


def main(order: dict[str, Any]) -> dict[str, Any]:
    """Do what is ordered."""
    work, contender = WORKS[order["work"]], CONTENDERS[order["contender"]]()
    with contextlib.redirect_stdout(sys.stderr):
        contender.start(Path.cwd())
        before, began = _peak(), _clock()
        if work.skewed:
            figures = _skewed(work, contender, order["steps"])
        else:
            figures = _in_turn(work, contender, order["steps"], order["loops"])
        figures["caller seconds"] = (_clock() - began) / 1e9
        contender.finish()
    return {
        **figures,
        "steps": order["steps"],
        "seconds": (_clock() - began) / 1e9,
        "peak": _peak() - before,
        **contender.counts(),
    }


def _in_turn(work: Work, contender: Contender, steps: int, loops: int) -> dict[str, Any]:
    """All components in one thread."""
    calls = len(work.sources)
    by_call = array("q", bytes(8 * calls * steps))
    by_step = array("q", bytes(8 * steps))
    backlogs: list[int] = []
    components = {source: contender.component(source) for source in work.sources}
    position = 0
    for step in range(steps):
        reports = work.reports(step)
        step_began = _clock()
        if loops:
            _compute(loops)
        ambient_began = _clock()
        contender.begin_step(step)
        inside = _clock() - ambient_began
        for source, values in reports:
            component = components[source]
            began = _clock()
            component(values, step)
            spent = _clock() - began
            inside += spent
            by_call[position] = spent
            position += 1
        by_step[step] = _clock() - step_began if loops else inside
        if loops and step % 50 == 49:
            backlogs.append(contender.backlog())
        if work.pause:
            time.sleep(work.pause)
    if not steps:
        return {}
    # The first steps make instruments and find their way; what is asked is what the others cost.
    by_call, by_step = by_call[calls * (steps // 10) :], by_step[steps // 10 :]
    return {
        "call mean": statistics.fmean(by_call),
        "call p50": statistics.median(by_call),
        "call p99": _percentile(by_call, 99),
        "step p50": statistics.median(by_step),
        "step p99": _percentile(by_step, 99),
        "step mean": statistics.fmean(by_step),
        "backlog seconds": _longest_wait(backlogs, by_step, sum(work.sources.values())),
    }


def _skewed(work: Work, contender: Contender, steps: int) -> dict[str, Any]:
    """Each component in a thread of its own, and some behind the trainer."""
    positions = dict.fromkeys(work.sources, -1)
    turn = threading.Condition()
    failures: list[Exception] = []

    def may_go_on(source: str, step: int) -> bool:
        ahead = min(step + LAGS[source], steps - 1)
        is_behind = source == "trainer" or positions["trainer"] >= ahead
        return is_behind and min(positions.values()) >= step - 20

    def component(source: str) -> None:
        pauses = random.Random(source)
        for step in range(steps):
            with turn:
                turn.wait_for(partial(may_go_on, source, step))
            try:
                contender.log(dict(work.reports(step))[source], step, source)
            except Exception as error:
                failures.append(error)
            time.sleep(pauses.uniform(0.0002, 0.0012))
            with turn:
                positions[source] = step
                turn.notify_all()

    threads = [threading.Thread(target=component, args=(source,)) for source in work.sources if steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return {}


def _longest_wait(backlogs: list[int], by_step: Any, scalars: int) -> float:
    """How many seconds of work waited at most, once the first half was over."""
    waiting = max(backlogs[len(backlogs) // 2 :], default=0)
    return waiting / scalars * statistics.fmean(by_step) / 1e9


def _compute(loops: int) -> int:
    """What a trainer of pure Python does: it never lets go of the interpreter by itself."""
    total = 0
    for number in range(loops):
        total += number * number % 7
    return total


def loops_for(seconds: float, clock: Callable[[], float] = time.perf_counter) -> int:
    """How many loops take so long, at their quickest."""
    loops, quickest = 20_000, float("inf")
    for _ in range(50):
        began = clock()
        _compute(loops)
        quickest = min(quickest, clock() - began)
    return max(1, round(loops * seconds / quickest))


def _percentile(values: Any, percent: int) -> float:
    if len(values) < 2:
        return float(values[0])
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
