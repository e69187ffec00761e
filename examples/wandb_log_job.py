"""A training job that only knows `wandb.log`, and four components with a step counter each.

    python examples/wandb_log_job.py
    WANDB_STEP_FIX_ENABLED=true python examples/wandb_log_job.py

As it is, W&B throws away whatever is logged for a step below the highest one it has seen: the reward worker
is some steps behind, the evaluator many, and the callback counts from the last checkpoint. With the variable
set, and the bridge installed, every value is in the run, in the row of its step. There is no other
difference: nothing here knows of the bridge.
"""

import argparse
import queue
import random
import threading

import wandb

REWARD_BATCH = 8
EVALUATE_EVERY = 10


class Trainer:
    """Counts its own steps, and is ahead of all others."""

    def __init__(self, seed: int) -> None:
        self.step = 0
        self.random = random.Random(seed)

    def train(self) -> list[float]:
        completions = [self.random.random() for _ in range(4)]
        wandb.log({"train/loss": 1 / (1 + self.step), "train/entropy": self.random.random()}, step=self.step)
        self.step += 1
        return completions


class ThroughputCallback:
    """Reports a step when the next one has begun: it is always one behind."""

    def __init__(self) -> None:
        self.seen = 0

    def on_step_end(self) -> None:
        if self.seen > 0:
            wandb.log({"perf/tokens": 512 + self.seen}, step=self.seen - 1)
        self.seen += 1


class RewardWorker(threading.Thread):
    """Scores completions a batch of steps at a time, in a thread of its own; the trainer may wait for it."""

    def __init__(self) -> None:
        super().__init__(name="reward")
        self.completions: queue.Queue[tuple[int, list[float]] | None] = queue.Queue(REWARD_BATCH)

    def run(self) -> None:
        batch: list[tuple[int, list[float]]] = []
        while (item := self.completions.get()) is not None:
            batch.append(item)
            if len(batch) == REWARD_BATCH:
                self.score(batch)
        self.score(batch)

    def score(self, batch: list[tuple[int, list[float]]]) -> None:
        for step, completions in batch:
            mean = sum(completions) / len(completions)
            wandb.log({"reward/mean": mean, "reward/max": max(completions)}, step=step)
        batch.clear()


class Evaluator:
    """Evaluates a checkpoint long after it was taken: its figures belong to the checkpoint's step."""

    def __init__(self) -> None:
        self.checkpoints: list[int] = []

    def on_step_end(self, step: int) -> None:
        if step % EVALUATE_EVERY == 0:
            self.checkpoints.append(step)
        if len(self.checkpoints) > 1:
            self.evaluate(self.checkpoints.pop(0))

    def evaluate(self, step: int) -> None:
        wandb.log({"eval/accuracy": step / 1000}, step=step)


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    steps = parser.parse_args().steps
    with wandb.init(project="step-fix", mode="offline") as run:
        trainer, callback, reward, evaluator = Trainer(0), ThroughputCallback(), RewardWorker(), Evaluator()
        reward.start()
        for step in range(steps):
            reward.completions.put((step, trainer.train()))
            callback.on_step_end()
            evaluator.on_step_end(step)
        reward.completions.put(None)
        reward.join()
        for step in evaluator.checkpoints:
            evaluator.evaluate(step)
        print(f"logged {steps} steps to {run.settings.sync_file}")


if __name__ == "__main__":
    main()
