"""How many samples a second a receiver takes in, on one core.

    python benchmarks/receiver.py [--steps 5000] [--rounds 5]

Twenty gauges are reported once a step by one process, 500 steps in a request. Measured is from the bytes of
the requests to rows that are ready to be written. The floor is what a loop in Python cannot do without: to
look at the message of each exemplar and put its value under its step and key. Both take turns, and the best
round of each counts. The third line is the whole way from the bytes of a request to rows of a run in memory;
the last says what the journal adds to it.
"""

import argparse
import gc
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from otel_wandb_bridge import OtlpReceiver
from otel_wandb_bridge.decode import Decoder, default_naming
from otel_wandb_bridge.decode.otlp import OtlpDecoder
from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.receive.body import parse_protobuf
from otel_wandb_bridge.receive.duplicates import Seen
from otel_wandb_bridge.reconcile import Policy, Reconciler
from otel_wandb_bridge.testing import FakeRun

KEYS = 20
STEPS_IN_ONE = 500


def request(first: int, *, keys: int = KEYS, steps: int = STEPS_IN_ONE, rank: int = 0) -> bytes:
    """What one process exports of these steps."""
    message = ExportMetricsServiceRequest()
    resource_metrics = message.resource_metrics.add()
    for name, text in (("service.name", "job"), ("service.instance.id", f"i{rank}")):
        resource_metrics.resource.attributes.add(key=name).value.string_value = text
    resource_metrics.resource.attributes.add(key="training.rank").value.int_value = rank
    scope_metrics = resource_metrics.scope_metrics.add()
    scope_metrics.scope.name = "trainer"
    start = 1_700_000_000_000_000_000
    for key in range(keys):
        metric = scope_metrics.metrics.add(name=f"part.key{key}")
        point = metric.gauge.data_points.add(
            time_unix_nano=start + (first + steps) * 1_000_000, as_double=0.0
        )
        for step in range(first, first + steps):
            exemplar = point.exemplars.add(
                time_unix_nano=start + step * 1_000_000 + key, as_double=step * 0.37
            )
            exemplar.filtered_attributes.add(key="wandb.step").value.int_value = step
    return message.SerializeToString()


def to_rows(bodies: list[bytes]) -> int:
    """Decode and reconcile. Returns how many samples came out in rows."""
    ledger = Ledger()
    decoder = OtlpDecoder(lambda: Decoder(default_naming, {}, ledger), ledger, Seen().is_new)
    reconciler = Reconciler(Policy(), ledger)
    samples = 0
    for number, body in enumerate(bodies):
        for received in decoder.decode(parse_protobuf(body)):
            reconciler.add(received.samples, float(number))
        reconciler.advance(float(number))
        while (row := reconciler.peek()) is not None:
            samples += row.samples
            reconciler.pop()
    return samples


def floor(bodies: list[bytes]) -> int:
    """The same values in rows, without any rule."""
    rows: dict[int, dict[str, float]] = {}
    for body in bodies:
        for resource_metrics in parse_protobuf(body).resource_metrics:
            for scope_metrics in resource_metrics.scope_metrics:
                for metric in scope_metrics.metrics:
                    for point in metric.gauge.data_points:
                        for exemplar in point.exemplars:
                            step = exemplar.filtered_attributes[0].value.int_value
                            rows.setdefault(step, {})[metric.name] = exemplar.as_double
    return sum(map(len, rows.values()))


def received(bodies: list[bytes], journal: Path | None = None) -> int:
    """From accepted bytes to rows of a run in memory."""
    with OtlpReceiver(FakeRun(), port=0, reorder=0.0, journal=journal) as receiver:
        for body in bodies:
            receiver._accept(parse_protobuf(body), body)
        receiver.force_flush()
        return receiver.stats().written


def journaled(bodies: list[bytes]) -> int:
    """The same, with a journal."""
    with tempfile.TemporaryDirectory() as directory:
        return received(bodies, Path(directory) / "journal")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    bodies = [request(first) for first in range(0, arguments.steps, STEPS_IN_ONE)]
    ways: dict[str, Callable[[list[bytes]], int]] = {
        "floor": floor,
        "decode and reconcile": to_rows,
        "received": received,
        "received, with a journal": journaled,
    }
    best = dict.fromkeys(ways, float("inf"))
    counts = {}
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            gc.collect()
            start = time.process_time()
            counts[name] = way(bodies)
            best[name] = min(best[name], time.process_time() - start)
    for name, seconds in best.items():
        each = seconds / counts[name] * 1e6
        rate = counts[name] / seconds
        print(f"{name:26} {rate:10,.0f} samples a second  {each:6.2f} µs  {seconds / best['floor']:5.2f}")


if __name__ == "__main__":
    main()
