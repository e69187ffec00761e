"""What a patched `wandb.log` costs beside an unpatched one.

    python benchmarks/wandb_step_fix.py [--steps 2000] [--rounds 5]

Every figure is a ratio within one run: patched and unpatched processes take turns, on real offline runs.

- *calling thread*: the time that a call of `wandb.log` with 20 scalars and a step keeps its caller, median
  and 99th percentile; in a hot loop, and paced (4 ms between steps).
- *total CPU*: user and system time of the process and its children until everything is durable, less that of
  a process that makes a run and logs nothing; for one caller of 20 scalars a step, and for four callers of 5
  (each with a step of its own to report, in turn).
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SCALARS = 20
PAUSE = 0.004


def percentile(values: list[int], percent: int) -> float:
    """A percentile of at least two values."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def log_all(callers: int, steps: int, pause: float) -> dict[str, float]:
    """In the process that is measured: log, and say what it cost."""
    import wandb

    run = wandb.init(mode="offline", settings=wandb.Settings(console="off"))
    share = SCALARS // callers
    rows = [{f"part{caller}/key{i}": i * 0.37 for i in range(share)} for caller in range(callers)]
    spent: list[int] = []
    clock = time.perf_counter_ns
    for step in range(steps):
        for row in rows:
            begin = clock()
            wandb.log(row, step=step)
            spent.append(clock() - begin)
        if pause:
            time.sleep(pause)
    run.finish()
    wandb.teardown()
    if not spent:
        return {}
    return {"p50": statistics.median(spent), "p99": percentile(spent, 99), "mean": statistics.fmean(spent)}


def measured(patched: bool, callers: int, steps: int, pause: float) -> dict[str, float]:
    """One process; its CPU time includes its children's."""
    with tempfile.TemporaryDirectory() as directory:
        variables = {"WANDB_SILENT": "true", "WANDB_STEP_FIX_ENABLED": "true" if patched else ""}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        arguments = ["--inside", str(callers), "--steps", str(steps), "--pause", str(pause)]
        ended = subprocess.run(
            [sys.executable, str(Path(__file__).resolve()), *arguments],
            cwd=directory,
            env={**os.environ, **variables},
            check=True,
            capture_output=True,
            text=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**figures, "cpu": cpu}


def compare(callers: int, steps: int, pause: float, rounds: int) -> dict[str, Any]:
    """Patched beside unpatched, in turns: ratios of the medians over all rounds."""
    figures: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    idle: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        for patched in (False, True):
            idle[patched].append(measured(patched, callers, 0, 0.0)["cpu"])
            figures[patched].append(measured(patched, callers, steps, pause))

    def median(patched: bool, name: str) -> float:
        return statistics.median(each[name] for each in figures[patched])

    def cpu(patched: bool) -> float:
        return median(patched, "cpu") - statistics.median(idle[patched])

    return {
        "p50": median(True, "p50") / median(False, "p50"),
        "p99": median(True, "p99") / median(False, "p99"),
        "mean": median(True, "mean") / median(False, "mean"),
        "cpu": cpu(True) / cpu(False),
    }


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pause", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--inside", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        print(json.dumps(log_all(given.inside, given.steps, given.pause)))
        return
    print("| patched / unpatched | caller, median | caller, p99 | caller, mean | total CPU |")
    print("|---|---|---|---|---|")
    cases = {
        "one caller, hot loop": (1, given.steps, 0.0),
        "one caller, paced": (1, given.steps // 2, PAUSE),
        "four callers a step, hot loop": (4, given.steps, 0.0),
        "four callers a step, paced": (4, given.steps // 2, PAUSE),
    }
    for name, (callers, steps, pause) in cases.items():
        ratios = compare(callers, steps, pause, given.rounds)
        shown = (f"{ratios[key]:.2%}" for key in ("p50", "p99", "mean"))
        print(f"| {name} | {' | '.join(shown)} | {ratios['cpu']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
