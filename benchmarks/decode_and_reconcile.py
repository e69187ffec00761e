"""How many samples a second go through decode and reconcile, on one core.

    python benchmarks/decode_and_reconcile.py [--steps 5000] [--rounds 5]

Twenty gauges (or counters, or histograms) are recorded once a step, as a reader with a keep-all reservoir
collects them, 500 steps at a time. Measured is from the SDK's data points to rows that are ready to be
written. The floor is what a loop in Python cannot do without: to look at each exemplar and put its value
under its step and key. Both take turns, and the best round of each counts.
"""

import argparse
import gc
import time
from collections.abc import Callable

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_wandb_bridge.attributes import SETTLED_STEP
from otel_wandb_bridge.decode import Decoder, default_naming
from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.reconcile import Policy, Reconciler

KEYS = 20
STEPS_IN_ONE = 500
DELTA = AggregationTemporality.DELTA


def gauges(exemplars: list[Exemplar], time_nano: int) -> Gauge:
    return Gauge([NumberDataPoint({"rank": 0}, 0, time_nano, 1.0, exemplars)])


def counters(exemplars: list[Exemplar], time_nano: int) -> Sum:
    return Sum([NumberDataPoint({"rank": 0}, 0, time_nano, 1.0, exemplars)], DELTA, True)


def histograms(exemplars: list[Exemplar], time_nano: int) -> Histogram:
    point = HistogramDataPoint({"rank": 0}, 0, time_nano, 1, 1.0, [1], [], 1.0, 1.0, exemplars)
    return Histogram([point], DELTA)


def collections(kind: Callable[..., Gauge | Sum | Histogram], steps: int) -> list[MetricsData]:
    """What a reader collects, one after the other."""
    scope = InstrumentationScope("trainer")
    made = []
    for first in range(0, steps, STEPS_IN_ONE):
        metrics = []
        for key in range(KEYS):
            exemplars = [
                Exemplar({SETTLED_STEP: step}, step * 0.37, step * 1_000_000 + key)
                for step in range(first, first + STEPS_IN_ONE)
            ]
            metrics.append(
                Metric(f"part.key{key}", "", "", kind(exemplars, (first + STEPS_IN_ONE) * 1_000_000))
            )
        made.append(MetricsData([ResourceMetrics(Resource({}), [ScopeMetrics(scope, metrics, "")], "")]))
    return made


def through_the_bridge(collected: list[MetricsData]) -> int:
    """Decode and reconcile. Returns how many samples came out in rows."""
    ledger = Ledger()
    decoder = Decoder(default_naming, {}, ledger)
    reconciler = Reconciler(Policy(), ledger)
    samples = 0
    for number, metrics_data in enumerate(collected):
        reconciler.add(decoder.decode(metrics_data).samples, float(number))
        reconciler.advance(float(number))
        last = number == len(collected) - 1
        while (row := reconciler.peek(everything=last)) is not None:
            samples += row.samples
            reconciler.pop()
    return samples


def floor(collected: list[MetricsData]) -> int:
    """Put each value under its step and key."""
    rows: dict[int, dict[str, float]] = {}
    samples = 0
    for metrics_data in collected:
        for metric in metrics_data.resource_metrics[0].scope_metrics[0].metrics:
            for point in metric.data.data_points:
                for exemplar in point.exemplars:
                    step = exemplar.filtered_attributes[SETTLED_STEP]
                    row = rows.get(step)
                    if row is None:
                        row = rows[step] = {}
                    row[metric.name] = exemplar.value
                    samples += 1
    return samples


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print("| instruments | samples a second | floor | ratio to the floor |")
    print("|---|---|---|---|")
    for kind in (gauges, counters, histograms):
        collected = collections(kind, given.steps)
        rates: dict[Callable[[list[MetricsData]], int], float] = {through_the_bridge: 0.0, floor: 0.0}
        gc.freeze()
        for _ in range(given.rounds):
            for way in rates:
                begin = time.process_time()
                samples = way(collected)
                rates[way] = max(rates[way], samples / (time.process_time() - begin))
        ratio = rates[floor] / rates[through_the_bridge]
        print(f"| {kind.__name__} | {rates[through_the_bridge]:,.0f} | {rates[floor]:,.0f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
