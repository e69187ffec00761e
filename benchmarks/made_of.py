"""Where the time goes: what a patched call and a written row are made of."""

import os
import sys
import threading
import time
import timeit
from collections import deque
from pathlib import Path
from typing import Any

_TWENTY = {f"train/key{number}": number / 7 for number in range(20)}
_OURS = ("otel-wandb", "Otel")
_TICKS = os.sysconf("SC_CLK_TCK")


def call(times: int) -> dict[str, float]:
    """What one patched `wandb.log` of 20 scalars does in the thread that calls, in seconds.

    The parts are timed alone, in a loop, so they need not add up.
    """
    from opentelemetry.context import get_current

    from otel_wandb_bridge.record.packing import OPTIONS, pack

    entries: deque[Any] = deque(maxlen=1)
    parts: dict[str, tuple[str, dict[str, Any]]] = {
        "its values, packed: a copy, and a look at each key and type": (
            "pack(values, None, options)",
            {"pack": pack, "options": OPTIONS},
        ),
        "the time, the thread, the function that calls, the context": (
            "now(); thread(); frame(0).f_code; context()",
            {"now": time.time, "thread": threading.get_ident, "frame": sys._getframe, "context": get_current},
        ),
        "one append": ("append((values, 1, None))", {"append": entries.append}),
    }
    found = {
        name: min(timeit.repeat(code, globals={"values": _TWENTY, **space}, number=times, repeat=7)) / times
        for name, (code, space) in parts.items()
    }
    with _patched_run() as run:
        step = iter(range(sys.maxsize)).__next__
        whole = min(timeit.repeat(lambda: run.log(_TWENTY, step=step()), number=times, repeat=7)) / times
        empty = min(timeit.repeat(lambda: step(), number=times, repeat=7)) / times
    return {"whole": whole - empty, **found}


def row(steps: int) -> dict[str, float]:
    """What one row of four patched calls costs from the lane to the file, in seconds of CPU."""
    from otel_wandb_bridge.wandb_step_fix import finalize_wandb_logging
    from otel_wandb_bridge.write.traffic import Traffic

    spent: list[float] = []
    Traffic.log_own = _clocked(Traffic.log_own, spent)  # type: ignore[method-assign]
    parts = [dict([*_TWENTY.items()][first : first + 5]) for first in range(0, 20, 5)]
    with _patched_run() as run:
        run.log(parts[0], step=0)
        finalize_wandb_logging()
        spent.clear()
        threads, core = _by_thread(), _of_children()
        for step in range(1, steps + 1):
            for values in parts:
                run.log(values, step=step)
        calling = _by_thread()["MainThread"]
        finalize_wandb_logging()
        after = {name: seconds - threads.get(name, 0.0) for name, seconds in _by_thread().items()}
        ours = sum(seconds for name, seconds in after.items() if name.startswith(_OURS))
        sending = sum(
            seconds for name, seconds in after.items() if not name.startswith((*_OURS, "MainThread"))
        )
        run.finish()
        core = _of_children() - core
    return {
        "whole": (after["MainThread"] + ours + sending + core) / steps,
        "four calls, in the thread that calls": (calling - threads["MainThread"]) / steps,
        "the bridge: read, reconcile, prepare": (ours - sum(spent)) / steps,
        "W&B: `run.log`, in the thread that writes": sum(spent) / steps,
        "W&B: the threads that send": sending / steps,
        "W&B: wandb-core": core / steps,
    }


def drain(steps: int) -> dict[str, float]:
    """What rows of five scalars cost by hand and through `Bridge.log`, in turns: seconds of CPU."""
    import wandb

    from otel_wandb_bridge import configure
    from otel_wandb_bridge.write.traffic import Traffic

    spent: list[float] = []
    Traffic.log_own = _clocked(Traffic.log_own, spent)  # type: ignore[method-assign]
    values = dict([*_TWENTY.items()][:5])
    quiet = wandb.Settings(console="off", silent=True)
    by_hand = wandb.init(mode="offline", settings=quiet, reinit="create_new")
    bridged = wandb.init(mode="offline", settings=quiet, reinit="create_new")
    bridge = configure(bridged, export_interval_millis=3_600_000, set_global=False, writer="thread")
    bridge.log(values, step=0)
    bridge.force_flush(600_000)
    total: dict[str, float] = {}
    turn = max(steps // 8, 1)
    for first in range(1, steps, turn):
        for name in ("by hand", "bridge"):
            spent.clear()
            threads, core = _by_thread(), _of_children()
            if name == "by hand":
                for step in range(first, first + turn):
                    by_hand.log(values, step=step)
            else:
                for step in range(first, first + turn):
                    bridge.log(values, step=step)
            calling = _by_thread()["MainThread"] - threads["MainThread"]
            bridge.force_flush(600_000)
            after = {each: seconds - threads.get(each, 0.0) for each, seconds in _by_thread().items()}
            ours = sum(seconds for each, seconds in after.items() if each.startswith(_OURS))
            sending = sum(after.values()) - ours - after["MainThread"]
            parts = {"the thread that calls": calling, "W&B: the threads that send": sending}
            parts["W&B: wandb-core"] = _of_children() - core
            if name == "bridge":
                parts["read, reconcile, prepare"] = ours - sum(spent)
                parts["W&B: `run.log`, in the thread that writes"] = sum(spent)
            for part, seconds in parts.items():
                total[f"{name}: {part}"] = total.get(f"{name}: {part}", 0.0) + seconds
    for run in (by_hand, bridged):
        run.finish()
    whole = sum(seconds for part, seconds in total.items() if part.startswith("by hand"))
    return {"whole": whole, **dict(sorted(total.items(), reverse=True))}


def _clocked(method: Any, spent: list[float]) -> Any:
    """The method, noting the CPU seconds of the thread that is in it."""

    def clocked(*args: Any, **kwargs: Any) -> Any:
        began = time.thread_time()
        try:
            return method(*args, **kwargs)
        finally:
            spent.append(time.thread_time() - began)

    return clocked


def _patched_run() -> Any:
    import wandb

    from otel_wandb_bridge.wandb_step_fix import patch_wandb_log

    # All of it is written in this process, and at the end.
    patch_wandb_log(flush_interval=3_600, buffer_size=10_000_000, writer="thread")
    return wandb.init(mode="offline", settings=wandb.Settings(console="off", silent=True))


def _by_thread() -> dict[str, float]:
    """CPU seconds of each thread that there is."""
    clocks = {each.name: each.ident for each in threading.enumerate() if each.ident is not None}
    return {name: time.clock_gettime(time.pthread_getcpuclockid(ident)) for name, ident in clocks.items()}


def _of_children() -> float:
    """CPU seconds of the processes that this one has started and that still run (Linux)."""
    total = 0.0
    for child in Path("/proc/self/task").glob("*/children"):
        for process in child.read_text().split():
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total
