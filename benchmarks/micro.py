"""Single calls, with pyperf: each in processes of its own, calibrated and warmed up.

python -m benchmarks.micro --processes 3 --values 3 -o micro.json
"""

import collections
import time
from collections.abc import Callable
from typing import Any

import pyperf

_CHUNK = 5_000
_ATTRIBUTES = {"step": 7, "source": "trainer", "priority": 5}
_FIVE = {f"train/key{number}": number / 7 for number in range(5)}


def _timed(call: Callable[[], Any], drain: Callable[[], Any]) -> Callable[[int], float]:
    """Time `call` so many times; what it leaves waiting is drained now and then, which is not timed."""

    def time_func(loops: int) -> float:
        spent = 0.0
        while loops > 0:
            chunk = range(min(loops, _CHUNK))
            began = time.perf_counter()
            for _ in chunk:
                call()
            spent += time.perf_counter() - began
            loops -= len(chunk)
            drain()
        return spent

    return time_func


def _floor() -> tuple[Callable[[], Any], Callable[[], Any]]:
    entries: collections.deque[Any] = collections.deque()
    return lambda: entries.append((_FIVE, 7, "trainer")), entries.clear


def _forgetful_run() -> Any:
    from otel_wandb_bridge.testing import FakeRun

    class ForgetfulRun(FakeRun):
        def log(self, data: Any, step: Any = None, commit: Any = None) -> None:
            """Take a row and forget it."""

    return ForgetfulRun()


def _gauge(attributes: dict[str, Any] | None, *, bridge: bool) -> tuple[Callable[[], Any], Callable[[], Any]]:
    from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider, _Gauge
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        InMemoryMetricReader,
        PeriodicExportingMetricReader,
    )

    from otel_wandb_bridge import WandbMetricExporter, step_views

    # With delta, as ours: the SDK then takes a lock for each measurement.
    reader: Any = InMemoryMetricReader(preferred_temporality={_Gauge: AggregationTemporality.DELTA})
    if bridge:
        exporter = WandbMetricExporter(_forgetful_run())
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    provider = MeterProvider([reader], views=step_views(), exemplar_filter=AlwaysOffExemplarFilter())
    gauge = provider.get_meter("bench").create_gauge("loss")
    if attributes is None:
        return lambda: gauge.set(0.5), reader.collect
    return lambda: gauge.set(0.5, attributes), reader.collect


def _offer() -> tuple[Callable[[], Any], Callable[[], Any]]:
    from opentelemetry.context import Context

    from otel_wandb_bridge.record import Intake

    reservoir, context = Intake().reservoir(observed=False), Context()
    return lambda: reservoir.offer(0.5, 1, _ATTRIBUTES, context), reservoir.clear


def _lane() -> tuple[Callable[[], Any], Callable[[], Any]]:
    from otel_wandb_bridge.record import DirectLane

    lane = DirectLane({})
    return lambda: lane.log(_FIVE, 7, "trainer", None), lane.clear


def main() -> None:
    """All of them, or what the arguments of pyperf say."""
    runner = pyperf.Runner(program_args=("-m", "benchmarks.micro"))
    cases: dict[str, Callable[[], tuple[Callable[[], Any], Callable[[], Any]]]] = {
        "deque.append": _floor,
        "SDK, attributes": lambda: _gauge(_ATTRIBUTES, bridge=False),
        "bridge, attributes": lambda: _gauge(_ATTRIBUTES, bridge=True),
        "SDK, no attributes": lambda: _gauge(None, bridge=False),
        "bridge, no attributes": lambda: _gauge(None, bridge=True),
        "offer": _offer,
        "Bridge.log of five": _lane,
    }
    for name, case in cases.items():
        runner.bench_time_func(name, _lazily(case))


def _lazily(case: Callable[[], tuple[Callable[[], Any], Callable[[], Any]]]) -> Callable[[int], float]:
    """Set up in the process that measures, and only what it measures."""
    made: list[Callable[[int], float]] = []

    def time_func(loops: int) -> float:
        if not made:
            made.append(_timed(*case()))
        return made[0](loops)

    return time_func


if __name__ == "__main__":
    main()
