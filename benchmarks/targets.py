"""What the project promises about speed, each with what was measured and what that is made of."""

import statistics
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .contenders import (
    BridgeAmbient,
    BridgeInstruments,
    BridgeLog,
    Contender,
    Floor,
    Nothing,
    Patched,
    WandbLog,
    WandbMerged,
)
from .results import Results
from .works import WORKS


class Verdict(NamedTuple):
    """A line of the table."""

    what: str
    target: str
    measured: str
    is_met: bool
    made_of: str


def verdicts(results: Results) -> list[Verdict]:
    """Of each promise for which there are figures."""
    found: list[Verdict] = []
    for promise in (
        _instruments,
        _lane,
        _offer,
        _caller,
        _cpu,
        _rows,
        _right,
        _long,
        _growth,
        _python,
        _step_fix,
        _startup,
    ):
        checks = promise(results)
        while True:
            try:
                found.append(next(checks))
            except StopIteration:
                break
            except LookupError:  # not measured this time
                break
    return found


Promise = Callable[[Results], Iterator[Verdict]]


def _at_most(what: str, bound: float, measured: float, made_of: str, form: str = ".3f") -> Verdict:
    return Verdict(what, f"≤ {bound:{form}}", f"{measured:{form}}", measured <= bound, made_of)


def _instruments(results: Results) -> Iterator[Verdict]:
    ratio = results.ratio("W1", BridgeInstruments, WandbLog, "step mean")
    yield _at_most(
        "W1, training thread: instruments with `{step, source, priority}` / `wandb.log`",
        0.15,
        ratio,
        "the SDK's own way of one measurement with attributes; the reservoir adds one append",
    )
    ratio = results.ratio("W1", BridgeAmbient, WandbLog, "step mean")
    yield _at_most(
        "the same, ambient step and no attributes",
        0.10,
        ratio,
        "the SDK's own way of one measurement without attributes",
    )


def _lane(results: Results) -> Iterator[Verdict]:
    made_of = {
        BridgeLog: "its values packed, the time, one append",
        Patched: "the same, and the function that called, by which components are told apart",
    }
    for contender in (BridgeLog, Patched):
        for work, how in (("W1", "hot loop"), ("W1-paced", "paced")):
            ratio = results.ratio(work, WandbLog, contender, "call mean")
            yield Verdict(
                f"{contender.name}, {how}, training thread: `wandb.log` / it",
                "≥ 300",
                f"{ratio:.0f}",
                ratio >= 300,
                made_of[contender],
            )
            for figure in ("call p50", "call p99"):
                ratio = results.ratio(work, contender, Floor, figure)
                yield _at_most(
                    f"{contender.name}, {how}, {figure.removeprefix('call ')}: it / the floor",
                    2.0,
                    ratio,
                    "the floor keeps the caller's own dict, which the caller may change; we pack its values, "
                    "and note the time and the ambient step",
                    ".1f",
                )


def _offer(results: Results) -> Iterator[Verdict]:
    for attributes in ("attributes", "no attributes"):
        alone = results.of("micro", f"SDK, {attributes}", "seconds")
        ours = results.of("micro", f"bridge, {attributes}", "seconds")
        yield _at_most(
            f"one `offer` on top of the SDK's cost for the same call, {attributes}",
            0.15,
            ours / alone - 1,
            "a copy of the attributes (before SDK 1.45 the caller's own dict), their check, one append",
            ".2f",
        )


def _cpu(results: Results) -> Iterator[Verdict]:
    for work, contender, bound, made_of in (
        (
            "W1-long",
            BridgeLog,
            0.35,
            "W&B's own cost of one row instead of four (MERGED), and the merging; up to 50 rows go in one "
            "trip to its service (what a row is made of: below)",
        ),
        ("W1-long", Patched, 0.40, "the same (MERGED), and four calls told apart"),
        ("W3-long", Patched, 1.00, "W&B writes as many rows, up to 50 of them in one trip to its service"),
        ("W3-paced", Patched, 1.00, "W&B writes as many rows, up to 50 of them in one trip to its service"),
    ):
        what = f"{work}, total CPU until durable: {contender.name} / `wandb.log`"
        if results.has(work, contender, WandbLog):
            if results.has(work, WandbMerged, WandbLog):
                merged = results.cpu_ratio(work, WandbMerged, WandbLog)
                made_of = made_of.replace("MERGED", f"merged by hand: {merged:.2f}")
            yield _at_most(what, bound, results.cpu_ratio(work, contender, WandbLog), made_of, ".2f")


def _caller(results: Results) -> Iterator[Verdict]:
    for work, how in (("W3-call", "hot loop"), ("W3-paced", "paced")):
        mean = _beyond_nothing(results, work, Patched, "call mean")
        median = _beyond_nothing(results, work, Patched, "call p50")
        floor = results.of(work, Floor, "call mean") / results.of(work, Floor, "call p50")
        yield _at_most(
            f"{Patched.name} of 20 scalars, {how}, thread that calls, median: it / `wandb.log`",
            0.01,
            median,
            "both less what an empty call takes to measure; what a patched call is made of is below; of the "
            f"means the ratio is {mean:.4f}, but even a bare `deque.append` takes {floor:.1f} times its "
            f"median in the mean on this machine{_cold(results)}",
            ".4f",
        )


def _cold(results: Results) -> str:
    if not results.has("ten-a-second", Patched, WandbLog):
        return ""
    ratio = results.ratio("ten-a-second", Patched, WandbLog, "step p50")
    return f"; at ten steps a second nothing is in the processor's caches: four calls are {ratio:.3f} there"


def _beyond_nothing(results: Results, work: str, contender: type[Contender], figure: str) -> float:
    ours, plain, nothing = (results.of(work, each, figure) for each in (contender, WandbLog, Nothing))
    return (ours - nothing) / (plain - nothing)


def _rows(results: Results) -> Iterator[Verdict]:
    plain = results.of("W1", WandbLog, "calls")
    for contender in (BridgeInstruments, BridgeLog, Patched):
        calls, rows = (results.of("W1", contender, figure) for figure in ("calls", "rows"))
        steps = results.of("W1", contender, "steps")
        yield Verdict(
            f"W1, calls of `run.log` and rows: {contender.name}",
            "one a step",
            f"{calls / steps:.3f} and {rows / steps:.3f} (plain: {plain / steps:.0f} calls)",
            calls == rows == steps,
            "one merged row a step",
        )


def _right(results: Results) -> Iterator[Verdict]:
    for work in ("W2", "W2-interval"):
        measured = results.figures[work]
        ours = [name for name in measured if name.startswith(("Bridge", "Patched"))]
        worst = min(results.of(work, name, "right") for name in ours)
        others = {
            contender.name: results.of(work, contender, "right")
            for contender in WORKS[work].contenders
            if contender.__name__ in measured and contender.__name__ not in ours
        }
        said = ", ".join(f"{name} {right:.0%}" for name, right in others.items() if right < 1)
        yield Verdict(
            f"{work}, scalars at the right step: the bridge",
            "100 %",
            f"{worst:.1%}",
            worst == 1,
            said or "nobody else loses one",
        )


def _long(results: Results) -> Iterator[Verdict]:
    yield _at_most(
        f"W4, growth of memory: {BridgeLog.name} / the floor",
        1.3,
        results.ratio("W4", BridgeLog, Floor, "peak"),
        "what waits for W&B, which takes some 2,000 rows a second",
        ".2f",
    )
    yield _at_most(
        f"W4, until durable: {BridgeLog.name} / `wandb.log`",
        1.1,
        results.ratio("W4", BridgeLog, WandbLog, "seconds"),
        "W&B's own time for as many rows, and what each costs to prepare (below); nobody waits for it",
        ".2f",
    )


def _growth(results: Results) -> Iterator[Verdict]:
    made_of = "what is committed is forgotten"
    for figure in ("memory", "collection"):
        ratio = results.of("probe", "growth", figure)
        yield _at_most(f"{figure}: ten times the steps / the steps", 1.05, ratio, made_of, ".2f")


def _python(results: Results) -> Iterator[Verdict]:
    for contender in (BridgeLog, Patched):
        ratio = results.ratio("W6", contender, Nothing, "step p99")
        yield _at_most(
            f"W6, p99 of the step of a Python trainer: {contender.name} / no logging",
            1.25,
            ratio,
            "turns of half a millisecond, and one batch to the writer process",
            ".2f",
        )
        behind = results.of("W6", contender, "backlog seconds")
        yield _at_most(
            f"W6, seconds of work that wait at most: {contender.name}",
            4.0,
            behind,
            "two flush intervals: what came in since the last, and what is being written",
            ".1f",
        )


def _step_fix(results: Results) -> Iterator[Verdict]:
    megabytes = results.of("probe", "waiting", "bytes") / 1e6
    yield _at_most("100 waiting calls, MB", 2.0, megabytes, "its values packed, and a tuple, each", ".2f")
    name = "ten-a-second"
    cpu = results.of(name, Patched, "cpu") - results.of(name, WandbMerged, "cpu")
    yield _at_most(
        "CPU at ten steps a second of 20 scalars from four components, share of a core",
        0.01,
        cpu / results.of(name, Patched, "seconds"),
        "beyond a program that makes one `wandb.log` call a step by hand",
    )
    fewer = 1 - results.of(name, Patched, "calls") / results.of(name, WandbLog, "calls")
    yield Verdict("fewer calls of `run.log`", "≥ 60 %", f"{fewer:.0%}", fewer >= 0.6, "one a step, not four")
    delays = [delay for each in results.figures[name][Patched.__name__] for delay in each["delays"]]
    yield _at_most(
        "delay to the row, seconds (longest)",
        2.0 + 0.1,
        max(delays),
        f"the flush interval, and the step after it, with which it is complete; median {_median(delays)}",
        ".2f",
    )


def _startup(results: Results) -> Iterator[Verdict]:
    yield _at_most(
        "start-up of a program that does not use it, ms",
        1.0,
        results.of("probe", "startup", "first") * 1e3,
        "one line of a start-up file, which looks at one variable; nothing is imported",
    )


def _median(values: list[float]) -> str:
    return f"{statistics.median(values):.2f}"


def told(contender: type[Contender]) -> str:
    """Its name in a table."""
    return f"**{contender.name}**" if contender.__module__.endswith(".bridge") else contender.name
