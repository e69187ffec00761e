"""A job of several ranks and one W&B run: rank 0 receives what the others report.

    torchrun --nproc-per-node 4 examples/many_ranks.py
    python examples/many_ranks.py --ranks 4             # without PyTorch: rank 0 starts the others by itself

Every rank records the same instruments at the same steps. In the run, a row of a step has the mean of the
losses with their minimum and maximum, the tokens of all ranks, and the slowest time of a step.
"""

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable

from opentelemetry import metrics

from otel_wandb_bridge import configure, training_step


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


def lead(port: int, steps: int, wait_for_all: Callable[[], None]) -> None:
    """Rank 0 owns the run, receives, trains like the others, and goes last."""
    import wandb  # neither is needed on the other ranks

    from otel_wandb_bridge import OtlpReceiver

    run = wandb.init(project="many-ranks")
    bridge = configure(
        run,
        receiver=OtlpReceiver(
            host="127.0.0.1", port=port
        ),  # ranks on other machines: its address, and a token
        reduce={"train/tokens": "sum", "time/step": ("mean", "max")},
    )
    train(0, steps)
    wait_for_all()
    bridge.shutdown()
    stats = bridge.stats()
    print(f"{stats.rows} rows of {stats.recorded} samples, {stats.late} of them late")
    run.finish()


def follow(port: int, rank: int, steps: int) -> None:
    """Every other rank."""
    with configure(endpoint=f"http://{os.environ['MASTER_ADDR']}:{port}"):
        train(rank, steps)  # leaving the bridge sends what is left


def main() -> None:
    """The part of a rank."""
    arguments = argparse.ArgumentParser(description="A job of several ranks and one W&B run")
    arguments.add_argument("--ranks", type=int, default=2)
    arguments.add_argument("--steps", type=int, default=50)
    arguments.add_argument("--port", type=int, default=4318)
    given = arguments.parse_args()
    wait_for_all = _launched_by_torchrun() if "TORCHELASTIC_RUN_ID" in os.environ else _launching(given.ranks)
    rank = int(os.environ["RANK"])
    if rank == 0:
        lead(given.port, given.steps, wait_for_all)
    else:
        follow(given.port, rank, given.steps)
        wait_for_all()


def _launched_by_torchrun() -> Callable[[], None]:
    import torch.distributed

    torch.distributed.init_process_group("gloo")

    def wait_for_all() -> None:
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()

    return wait_for_all


def _launching(ranks: int) -> Callable[[], None]:
    """Set what torchrun sets; rank 0 starts the others."""
    os.environ.update({"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1"})
    others: list[subprocess.Popen[bytes]] = []
    if os.environ.setdefault("RANK", "0") == "0":
        for rank in range(1, ranks):
            environment = {**os.environ, "RANK": str(rank)}
            others.append(subprocess.Popen([sys.executable, *sys.argv], env=environment))

    def wait_for_all() -> None:
        for other in others:
            other.wait()

    return wait_for_all


if __name__ == "__main__":
    main()
