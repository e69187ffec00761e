"""A worker on any machine: it knows OpenTelemetry and where to send, nothing of W&B.

OTEL_WANDB_ENDPOINT=http://rank0:4318 OTEL_SERVICE_NAME=rollout python examples/rollout_worker.py
"""

import argparse
import random
import time

from opentelemetry import metrics

from otel_wandb_bridge import configure, training_step


def main() -> None:
    """Generate, and report how it went."""
    arguments = argparse.ArgumentParser(description="A worker on any machine")
    arguments.add_argument("--steps", type=int, default=100)
    given = arguments.parse_args()
    with configure():
        meter = metrics.get_meter("rollout")
        latency = meter.create_histogram("rollout.latency", unit="s")
        finished = meter.create_counter("rollout.finished")
        for step in range(given.steps):
            with training_step(step):
                for _ in range(4):
                    began = time.perf_counter()
                    time.sleep(random.uniform(0.001, 0.005))
                    latency.record(time.perf_counter() - began)
                    finished.add(1)


if __name__ == "__main__":
    main()
