"""Ray actors as workers, the receiver in the driver, one W&B run.

    pip install "otel-wandb-bridge[receiver,worker]" ray
    python examples/ray_workers.py --actors 4

Each actor is a process, on any machine of the cluster. It records OpenTelemetry instruments and sends them to
the driver, which owns the run; `training_step` says which step it works for.
"""

import argparse
import os
import random
import secrets

import ray
import wandb
from opentelemetry import metrics

from otel_wandb_bridge import OtlpReceiver, configure, training_step


@ray.remote(num_cpus=0)
class Rollout:
    """Generates for a step, and reports how it went."""

    def __init__(self, endpoint: str, token: str) -> None:
        headers = {"authorization": f"Bearer {token}"}
        self._bridge = configure(endpoint=endpoint, headers=headers, service_name="rollout")
        meter = metrics.get_meter("rollout")
        self._reward = meter.create_gauge("rollout.reward")
        self._tokens = meter.create_counter("rollout.tokens")

    def generate(self, step: int) -> float:
        """One rollout for a training step."""
        with training_step(step):
            reward = random.random()
            self._reward.set(reward)
            self._tokens.add(100)
        return reward

    def close(self) -> None:
        """Send what is left."""
        self._bridge.shutdown()


def main() -> None:
    """The driver."""
    arguments = argparse.ArgumentParser(description="Ray actors as workers")
    arguments.add_argument("--actors", type=int, default=2)
    arguments.add_argument("--steps", type=int, default=20)
    given = arguments.parse_args()
    ray.init(include_dashboard=False, configure_logging=False)
    # Of one machine, the loopback address will do; actors on others reach the driver at its own.
    host = "127.0.0.1" if len(ray.nodes()) == 1 else ray.util.get_node_ip_address()
    token = os.environ.get("RECEIVER_TOKEN") or secrets.token_urlsafe()
    run = wandb.init(project="ray")
    receiver = OtlpReceiver(host=host, port=0, token=token)
    bridge = configure(
        run,
        receiver=receiver,
        service_name="trainer",
        expected_sources=given.actors + 1,  # and the driver
        reduce={"rollout/reward": ("mean", "min", "max"), "rollout/tokens": "sum"},
    )
    actors = [Rollout.remote(receiver.endpoint, token) for _ in range(given.actors)]
    loss = metrics.get_meter("trainer").create_gauge("train.loss")
    for step in range(given.steps):
        rewards = ray.get([actor.generate.remote(step) for actor in actors])
        with training_step(step):
            loss.set(1 - sum(rewards) / len(rewards))
    ray.get([actor.close.remote() for actor in actors])
    bridge.shutdown()
    stats = bridge.stats()
    print(f"{stats.rows} rows of {stats.recorded} samples, {stats.late} of them late")
    run.finish()
    ray.shutdown()


if __name__ == "__main__":
    main()
