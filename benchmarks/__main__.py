"""Measure, and write `docs/performance.md`: `make bench`.

Each round starts every contender once for each work, one process at a time and in turns, so that whatever
else the machine does meets all of them alike. Rounds are repeated until there are enough, or the time is up.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import report
from .inside import loops_for
from .measure import ROOT, ProcessFailed, is_here, measured, run
from .probes import PROBES
from .results import IDLE, Results
from .works import WORKS, Work


def main() -> int:
    """Measure what was asked for; 1 where something could not be measured."""
    given = _arguments()
    chosen = [work for name, work in WORKS.items() if not given.only or name in given.only]
    results, began = Results(), time.monotonic()
    loops = loops_for(next((work.python for work in chosen if work.python), 0.004))
    for number in range(given.rounds):
        round_began = time.monotonic()
        works = [work for work in chosen if number < work.rounds]
        for work in works:
            _round(results, work, number, loops, given.quick)
        _idle(results, works, number)
        if number == 0:
            if not given.only or "micro" in given.only:
                _micro(results, given.quick)
            for name in PROBES:
                if not given.only or name in given.only:
                    _probe(results, name, given.quick)
        now = time.monotonic()
        _say(f"round {number + 1} of {given.rounds} done, {now - began:.0f} s in all")
        # The first round has all the long works; those after it are a third of it.
        next_round = (now - round_began) / (3 if number == 0 else 1)
        if now - began + next_round > given.minutes * 60:
            break
    if given.raw:
        given.raw.write_text(report.raw(results))
    if given.write:
        report.write(results, ROOT / "docs", rounds=number + 1, quick=given.quick)
    print(report.text(results))
    for failure in results.failures:
        print(failure, file=sys.stderr)
    return 1 if results.failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, one round")
    parser.add_argument("--only", type=lambda names: names.split(","), help="W1,W3,micro,growth,…")
    parser.add_argument("--rounds", type=int, help="at most so many (5; 1 with --quick)")
    parser.add_argument("--minutes", type=float, default=13.0, help="no further round after that")
    parser.add_argument(
        "--write", action="store_true", help="write docs/performance.md, its plot and its data"
    )
    parser.add_argument("--raw", type=Path, help="write the raw figures to this file")
    given = parser.parse_args()
    given.rounds = given.rounds or (1 if given.quick else 5)
    unknown = set(given.only or ()) - {*WORKS, *PROBES, "micro"}
    if unknown:
        parser.error(
            f"--only takes {', '.join([*WORKS, 'micro', *PROBES])}; got {', '.join(sorted(unknown))}"
        )
    return given


def _round(results: Results, work: Work, number: int, loops: int, quick: bool) -> None:
    for contender in work.contenders * work.turns:
        if not is_here(contender) or number >= contender.rounds:
            continue
        _say(f"{work.name}: {contender.name}")
        try:
            figures = measured(work, contender, work.steps[quick], loops if work.python else 0)
            results.add(work.name, contender.__name__, figures)
        except ProcessFailed as error:
            results.failures.append(str(error))


def _idle(results: Results, works: list[Work], number: int) -> None:
    """What is taken off: each contender of these works starts and finishes."""
    _say("idle")
    for contender in dict.fromkeys(contender for work in works for contender in work.contenders):
        if is_here(contender) and number < contender.rounds:
            try:
                results.add(IDLE, contender.__name__, measured(works[0], contender, 0, 0))
            except ProcessFailed as error:
                results.failures.append(str(error))


def _probe(results: Results, name: str, quick: bool) -> None:
    _say(f"probe: {name}")
    order = json.dumps([name, PROBES[name][1 + quick]])
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as directory:
        try:
            results.add("probe", name, run("benchmarks.probes", order, Path(directory)))
        except ProcessFailed as error:
            results.failures.append(str(error))


def _micro(results: Results, quick: bool) -> None:
    import pyperf

    _say("single calls")
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        file = Path(directory) / "micro.json"
        values = ("--processes", "1", "--values", "2" if quick else "5", "--warmups", "1")
        ended = subprocess.run(
            [
                sys.executable,
                "-m",
                "benchmarks.micro",
                "--quiet",
                *values,
                "--min-time",
                "0.05",
                "-o",
                str(file),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        if ended.returncode:
            results.failures.append(f"micro: {ended.stderr[-2_000:]}")
            return
        for benchmark in pyperf.BenchmarkSuite.load(str(file)):
            results.add("micro", benchmark.get_name(), {"seconds": benchmark.median()})


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
