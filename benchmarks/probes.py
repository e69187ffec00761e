"""What is not a comparison: each probe is a process that measures one thing, and prints it as JSON.

python -m benchmarks.probes growth
"""

import json
import os
import resource
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import made_of

NEVER = 3_600_000
START_UP = Path(__file__).resolve().parent.parent / "startup"


def growth(steps: int) -> dict[str, Any]:
    """Memory and the time of a collection at so many steps, and at ten times as many.

    The rows go to a run in memory that forgets them: W&B's own memory is not what is asked.
    """
    from otel_wandb_bridge import configure
    from otel_wandb_bridge.testing import FakeRun

    class ForgetfulRun(FakeRun):
        def log(self, data: Any, step: Any = None, commit: Any = None) -> None:
            """Take a row and forget it."""

    bridge = configure(ForgetfulRun(), export_interval_millis=NEVER, set_global=False)
    gauges = [bridge.meter_provider.get_meter("bench").create_gauge(f"key{number}") for number in range(20)]
    a_collection = 200
    peaks: dict[int, int] = {}
    times: list[float] = []
    for step in range(10 * steps):
        for gauge in gauges:
            gauge.set(step, {"step": step, "source": "trainer"})
        if step % a_collection == a_collection - 1:
            began = time.process_time()
            bridge.force_flush()
            times.append(time.process_time() - began)
        if step + 1 in (steps, 10 * steps):
            peaks[step + 1] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tenth = len(times) // 10
    return {
        "memory": peaks[10 * steps] / peaks[steps],
        "collection": statistics.median(times[-tenth:]) / statistics.median(times[1 : tenth + 1]),
        "is conserved": bridge.stats().is_conserved(),
    }


def waiting(entries: int) -> dict[str, Any]:
    """What waiting calls of five scalars take in memory, through a patched `wandb.log`; in bytes."""
    import wandb

    from otel_wandb_bridge.wandb_step_fix import get_step_manager, patch_wandb_log

    patch_wandb_log(flush_interval=NEVER, buffer_size=10 * entries)
    with wandb.init(mode="offline", settings=wandb.Settings(console="off", silent=True)) as run:
        run.log({"first": 0.0}, step=0)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for step in range(1, entries + 1):
            run.log({f"key{number}": step / (number + 1) for number in range(5)}, step=step)
        taken = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        pending = get_step_manager().get_stats()["pending"]
    return {"bytes": taken, "waiting": pending}


def startup(times: int) -> dict[str, Any]:
    """What the start-up file adds to every Python of an environment, in seconds: its line, as `site` runs it.

    The variable that switches the package on is not set: nothing of it is imported.
    """
    import site

    os.environ.pop("WANDB_STEP_FIX_ENABLED", None)
    (file,) = START_UP.glob("*.pth")
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        site.addpackage(str(START_UP), file.name, None)
        spent.append(time.perf_counter() - began)
    imported = [name for name in sys.modules if name.partition(".")[0] == "otel_wandb_bridge"]
    return {"first": spent[0], "median": statistics.median(spent), "imported": len(imported)}


PROBES: dict[str, tuple[Callable[[int], dict[str, Any]], int, int]] = {
    "growth": (growth, 4_000, 1_000),
    "waiting": (waiting, 100, 100),
    "startup": (startup, 20, 20),
    "call": (made_of.call, 20_000, 1_000),
    "row": (made_of.row, 4_000, 200),
    "drain": (made_of.drain, 16_000, 400),
}
"""By name, with the size of the full run and of the quick one."""

if __name__ == "__main__":
    name, size = json.loads(sys.argv[1])
    print(json.dumps(PROBES[name][0](size)))
