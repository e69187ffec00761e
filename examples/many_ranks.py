"""A job of several ranks and one W&B run: rank 0 receives what the others report.

    python examples/many_ranks.py --ranks 4             # rank 0 starts the others by itself
    torchrun --nproc-per-node 4 examples/many_ranks.py  # PyTorch's launcher does

Every rank records the same instruments at the same steps. In the run, a row of a step has the mean of the
losses with their minimum and maximum, the tokens of all ranks, and the slowest time of a step.
"""

import argparse
import os
import random
import socket
import subprocess
import sys
import time

from opentelemetry import metrics

from otel_wandb_bridge import OtlpReceiver, configure, training_step


def train(rank: int, steps: int) -> None:
    """What every rank does: it knows nothing of W&B, nor of the other ranks."""
    meter = metrics.get_meter("trainer")
    loss = meter.create_gauge("train.loss")
    tokens = meter.create_counter("train.tokens")
    step_time = meter.create_gauge("time.step", unit="s")
    for step in range(steps):
        with training_step(step):
            began = time.perf_counter()
            time.sleep(random.uniform(0.001, 0.004) * (1 + rank))
            loss.set(1 / (1 + step) + rank / 100)
            tokens.add(1_000 + rank)
            step_time.set(time.perf_counter() - began)


def main() -> None:
    """The part of a rank."""
    arguments = argparse.ArgumentParser(description="A job of several ranks and one W&B run")
    arguments.add_argument("--ranks", type=int, default=2)
    arguments.add_argument("--steps", type=int, default=50)
    given = arguments.parse_args()
    rank = int(os.environ.get("RANK", 0))
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    if rank == 0:
        lead(given.ranks, given.steps)
    else:
        with configure(endpoint=f"http://{os.environ['MASTER_ADDR']}:{os.environ['RECEIVER_PORT']}"):
            train(rank, given.steps)  # leaving the bridge sends what is left


def lead(ranks: int, steps: int) -> None:
    """Rank 0 owns the run, receives, trains like the others, and goes last."""
    import wandb

    starts_others = "RANK" not in os.environ
    port = os.environ.setdefault("RECEIVER_PORT", str(_free_port()))
    if starts_others:
        os.environ.update({"RANK": "0", "WORLD_SIZE": str(ranks)})
    run = wandb.init(project="many-ranks")
    bridge = configure(
        run,
        receiver=OtlpReceiver(port=int(port)),
        reduce={"train/tokens": "sum", "time/step": ("mean", "max")},
    )
    others = [_start(rank) for rank in range(1, ranks)] if starts_others else []
    train(0, steps)
    for other in others:
        other.wait()  # in a job of torchrun: after the last barrier
    bridge.shutdown()
    stats = bridge.stats()
    print(f"{stats.rows} rows of {stats.recorded} samples, {stats.late} of them late")
    run.finish()


def _start(rank: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, *sys.argv], env={**os.environ, "RANK": str(rank)})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
