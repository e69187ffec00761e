"""A small, real GRPO training whose four components report metrics for the same steps at different times.

The policy learns to sort digits (31524 -> 12345, then a stop token), one token at a time. What makes the job
realistic is not its size but its shape, the one that large reinforcement learning jobs have:

    trainer    samples groups of completions and learns from those that have been scored
    callback   turns the trainer's raw timings into throughput, in a thread of its own
    reward     scores completions in batches of several steps, so it reports steps the trainer has left behind
    eval       evaluates snapshots of the policy; its figures belong to the step of the snapshot

Run it with `python examples/grpo.py`; `otel-wandb demo` runs it with and without the bridge and compares.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from operator import eq
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import wandb

import otel_wandb_bridge as owb


class Report(Protocol):
    """How a component reports the values it has for a step; the job knows nothing else of metrics."""

    def __call__(self, source: str, step: int, values: dict[str, float], /) -> None: ...


def report_to_bridge(bridge: owb.Bridge) -> Report:
    """Every component reports in the way that suits it; each training step becomes one row all the same."""
    gauges: dict[str, Any] = {}

    def gauge(source: str, key: str) -> Any:
        if key not in gauges:
            gauges[key] = bridge.meter_provider.get_meter(source).create_gauge(key)
        return gauges[key]

    def report(source: str, step: int, values: dict[str, float], /) -> None:
        if source == "trainer":  # plain OpenTelemetry; the step is ambient
            with owb.training_step(step):
                for key, value in values.items():
                    gauge(source, key).set(value)
        elif source == "callback":  # plain OpenTelemetry; the step is named with each measurement
            for key, value in values.items():
                gauge(source, key).set(value, {"step": step})
        else:  # dicts, as for wandb.log
            bridge.log(values, step=step, source=source)

    return report


def report_to_wandb(run: wandb.Run) -> Report:
    """What such jobs do today: whoever is late for a step loses what it had to say."""
    return lambda source, step, values: run.log(values, step=step)


def main() -> None:
    with wandb.init(project="grpo", mode="offline") as run:
        bridge = owb.configure(run, set_global=False)
        train(report_to_bridge(bridge), steps=300, seed=0)
        bridge.shutdown()
    print(f"The run is in {run.settings.sync_dir}")


# The job: three workers beside the trainer, tied together by queues.

DIGITS = 5  # in a prompt
STOP = 10  # the token after the digits 0 to 9
TOKENS = STOP + 1
MAX_LENGTH = DIGITS + 3
PROMPTS, GROUP = 16, 16  # prompts a step, completions a prompt
EPOCHS = 3  # gradient steps on each scored batch
REWARD_BATCH = 6  # steps that the reward worker scores in one go, as reward servers do
IN_FLIGHT = 8  # the trainer learns from the batch that it sampled this many steps ago
EVAL_EVERY, EVAL_PROMPTS, EVAL_CHUNK = 10, 6_000, 250
LEARNING_RATE, CLIP, KL_WEIGHT = 4e-3, 0.2, 0.002


def train(
    report: Report, *, steps: int, seed: int, on_step: Callable[[int], None] | None = None
) -> dict[str, np.ndarray]:
    """Train for `steps` steps and return the parameters. Whatever is raised in a worker is raised here."""
    rollouts: Channel[Rollout] = Channel(IN_FLIGHT + 1)
    scored: Channel[tuple[Rollout, np.ndarray]] = Channel(IN_FLIGHT + 1)  # never full: the worker cannot hang
    finished: Channel[Timing] = Channel(100)
    snapshots: Channel[tuple[int, dict[str, np.ndarray]]] = Channel(2)
    channels = (rollouts, scored, finished, snapshots)

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except Closed:
            pass  # another worker has failed
        except BaseException:
            for channel in channels:  # nobody is left waiting for the one that failed
                channel.close()
            raise

    with ThreadPoolExecutor(max_workers=3, thread_name_prefix="grpo") as pool:
        workers = [
            pool.submit(guarded, lambda: score_rollouts(rollouts, scored, report)),
            pool.submit(guarded, lambda: measure_throughput(finished, report)),
            pool.submit(guarded, lambda: evaluate_snapshots(snapshots, report)),
        ]
        try:
            trainer = Trainer(rollouts, scored, finished, steps=steps, seed=seed)
            for step in range(steps):
                report("trainer", step, trainer.step(step))
                if step % EVAL_EVERY == 0:
                    snapshots.put((step, {name: value.copy() for name, value in trainer.policy.items()}))
                if on_step is not None:
                    on_step(step)
        except Closed:
            pass  # a worker has failed; its own exception comes out below
        finally:
            for channel in channels:
                if channel is not scored:  # the workers finish what is queued
                    channel.close()
    for worker in workers:
        worker.result()
    return trainer.policy


class Trainer:
    """Samples groups, sends them to be scored, and learns from what was scored meanwhile."""

    def __init__(
        self,
        rollouts: Channel[Rollout],
        scored: Channel[tuple[Rollout, np.ndarray]],
        finished: Channel[Timing],
        *,
        steps: int,
        seed: int,
    ) -> None:
        self.policy = initial_policy(np.random.default_rng(seed))
        self._reference = {name: value.copy() for name, value in self.policy.items()}
        self._rng = np.random.default_rng(seed + 1)
        self._steps = steps
        self._rollouts = rollouts
        self._scored = scored
        self._finished = finished
        self._adam = Adam(self.policy)

    def step(self, step: int) -> dict[str, float]:
        started = time.perf_counter()
        prompts = np.repeat(self._rng.integers(0, 10, (PROMPTS, DIGITS)), GROUP, axis=0)
        rollout = sample(self.policy, prompts, self._rng, step)
        self._rollouts.put(rollout)
        lr = LEARNING_RATE * min(1.0, (step + 1) / 10) * (1.0 - 0.9 * step / self._steps)
        values = {"train/lr": lr}
        if step >= IN_FLIGHT:  # until then the pipeline fills, and there is nothing to learn from
            values |= self._learn(*self._scored.get(), lr)
        self._finished.put(Timing(step, int(rollout.mask.sum()), time.perf_counter() - started))
        return values

    def _learn(self, rollout: Rollout, rewards: np.ndarray, lr: float) -> dict[str, float]:
        batch = Batch.of(rollout, rewards, self._reference)
        for _ in range(EPOCHS):
            figures, gradient = grpo_loss(self.policy, batch)
            norm = float(np.sqrt(sum(float((g * g).sum()) for g in gradient.values())))
            self._adam.descend(self.policy, gradient, lr * min(1.0, 1.0 / (norm + 1e-8)))
        return {f"train/{name}": value for name, value in figures.items()} | {"train/grad_norm": norm}


@dataclass(frozen=True)
class Timing:
    step: int
    tokens: int
    seconds: float


def measure_throughput(finished: Channel[Timing], report: Report) -> None:
    """The callback: throughput over the last ten steps."""
    window: deque[Timing] = deque(maxlen=10)
    total = 0
    for timing in finished:
        window.append(timing)
        total += timing.tokens
        rate = sum(t.tokens for t in window) / sum(t.seconds for t in window)
        values = {"perf/tokens": total, "perf/tokens_per_second": rate, "perf/step_seconds": timing.seconds}
        report("callback", timing.step, values)


def score_rollouts(
    rollouts: Channel[Rollout], scored: Channel[tuple[Rollout, np.ndarray]], report: Report
) -> None:
    """The reward worker: collects the rollouts of several steps, then scores them together."""
    waiting: list[Rollout] = []

    def score() -> None:
        for rollout in waiting:
            rewards = np.array([reward(*pair) for pair in zip(rollout.prompts, rollout.words(), strict=True)])
            scored.put((rollout, rewards))
            groups = rewards.reshape(PROMPTS, GROUP)
            spread = float(groups.std(axis=1).mean())
            values = {"reward/mean": float(rewards.mean()), "reward/std": spread}
            report("reward", rollout.step, values | {"reward/best": float(groups.max(axis=1).mean())})
        waiting.clear()

    for rollout in rollouts:
        waiting.append(rollout)
        if len(waiting) == REWARD_BATCH:
            score()
    score()


def evaluate_snapshots(snapshots: Channel[tuple[int, dict[str, np.ndarray]]], report: Report) -> None:
    """The evaluator: greedy decoding of prompts that are the same for every snapshot."""
    prompts = np.random.default_rng(12345).integers(0, 10, (EVAL_PROMPTS, DIGITS))
    for step, policy in snapshots:
        exact = right = length = 0
        for chunk in np.split(prompts, EVAL_PROMPTS // EVAL_CHUNK):
            for prompt, word in zip(chunk.tolist(), sample(policy, chunk, None, step).words(), strict=True):
                target = sorted(prompt)
                exact += word == target
                right += sum(map(eq, word, target))
                length += len(word)
        counts = {"eval/exact": exact, "eval/accuracy": right / DIGITS, "eval/length": length}
        report("eval", step, {key: count / EVAL_PROMPTS for key, count in counts.items()})


# The task and the policy.


def reward(prompt: np.ndarray, word: list[int]) -> float:
    """One minus the edit distance to the sorted digits, as a share of the longer of the two."""
    target = sorted(prompt.tolist())
    row = list(range(len(word) + 1))
    for i, wanted in enumerate(target, 1):
        corner, row[0] = row[0], i
        for j, token in enumerate(word, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (token != wanted))
    return 1.0 - row[-1] / max(len(target), len(word))


def initial_policy(rng: np.random.Generator, hidden: int = 64) -> dict[str, np.ndarray]:
    """A perceptron with one hidden layer, from what is left to emit to the logits of the next token."""
    inputs = 2 * 10 + MAX_LENGTH
    return {
        "w1": rng.normal(0.0, inputs**-0.5, (inputs, hidden)),
        "b1": np.zeros(hidden),
        "w2": rng.normal(0.0, 0.1 * hidden**-0.5, (hidden, TOKENS)),
        "b2": np.zeros(TOKENS),
    }


def features(left: np.ndarray, position: int) -> np.ndarray:
    """How often each digit is still to come, whether it is, and how many tokens have been emitted."""
    place = np.zeros((len(left), MAX_LENGTH))
    place[:, position] = 1.0
    return np.concatenate([left, left > 0, place], axis=1)


def forward(policy: dict[str, np.ndarray], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The hidden layer and the log-probabilities of every token."""
    hidden = np.tanh(x @ policy["w1"] + policy["b1"])
    logits = hidden @ policy["w2"] + policy["b2"]
    logits -= logits.max(axis=-1, keepdims=True)
    return hidden, logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Rollout:
    """Completions with everything learning needs: one row a completion, one column a token."""

    step: int
    prompts: np.ndarray
    x: np.ndarray
    tokens: np.ndarray
    logp: np.ndarray  # under the policy that sampled them
    mask: np.ndarray  # false after the stop token

    def words(self) -> list[list[int]]:
        emitted = self.mask & (self.tokens != STOP)
        return [row[keep].tolist() for row, keep in zip(self.tokens, emitted, strict=True)]


def sample(
    policy: dict[str, np.ndarray], prompts: np.ndarray, rng: np.random.Generator | None, step: int
) -> Rollout:
    """Complete every prompt: sampled with `rng`, greedily without."""
    rows = np.arange(len(prompts))
    left = np.zeros((len(prompts), TOKENS))
    np.add.at(left, (rows[:, None], prompts), 1.0)
    alive = np.ones(len(prompts), bool)
    steps = []
    for position in range(MAX_LENGTH):
        x = features(left[:, :STOP], position)
        _, logp = forward(policy, x)
        # The largest of the log-probabilities plus Gumbel noise is a sample of the distribution.
        tokens = (logp if rng is None else logp + rng.gumbel(size=logp.shape)).argmax(axis=1)
        steps.append((x, tokens, logp[rows, tokens], alive))
        left[rows, tokens] -= 1.0
        alive = alive & (tokens != STOP)
    return Rollout(step, prompts, *(np.stack(part, axis=1) for part in zip(*steps, strict=True)))


# Group relative policy optimisation.


@dataclass(frozen=True)
class Batch:
    """The tokens of a scored rollout, flat, with the weight of each in the mean over completions."""

    x: np.ndarray
    tokens: np.ndarray
    logp: np.ndarray
    reference_logp: np.ndarray
    advantages: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, rollout: Rollout, rewards: np.ndarray, reference: dict[str, np.ndarray]) -> Batch:
        groups = rewards.reshape(-1, GROUP)
        centred = groups - groups.mean(axis=1, keepdims=True)
        advantages = (centred / (groups.std(axis=1, keepdims=True) + 1e-4)).reshape(-1, 1)
        mask = rollout.mask
        weights = mask / mask.sum(axis=1, keepdims=True) / len(mask)
        x, tokens = rollout.x[mask], rollout.tokens[mask]
        reference_logp = forward(reference, x)[1][np.arange(len(x)), tokens]
        spread = np.broadcast_to(advantages, mask.shape)
        return cls(x, tokens, rollout.logp[mask], reference_logp, spread[mask], weights[mask])


def grpo_loss(policy: dict[str, np.ndarray], batch: Batch) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """The clipped surrogate with a KL penalty: its figures and the gradient, worked out by hand."""
    rows = np.arange(len(batch.x))
    hidden, logps = forward(policy, batch.x)
    logp = logps[rows, batch.tokens]

    ratio = np.exp(logp - batch.logp)
    free = ratio * batch.advantages
    clipped = np.clip(ratio, 1.0 - CLIP, 1.0 + CLIP) * batch.advantages
    away = batch.reference_logp - logp
    kl = np.exp(away) - away - 1.0  # an estimate of the divergence that is never negative
    loss = batch.weights @ (KL_WEIGHT * kl - np.minimum(free, clipped))

    # Where the clip is active the surrogate is flat; elsewhere d ratio / d logp = ratio.
    d_logp = batch.weights * (KL_WEIGHT * (1.0 - np.exp(away)) - np.where(free <= clipped, free, 0.0))
    probabilities = np.exp(logps)
    d_logits = -d_logp[:, None] * probabilities
    d_logits[rows, batch.tokens] += d_logp
    d_hidden = (d_logits @ policy["w2"].T) * (1.0 - hidden**2)
    gradient = {
        "w1": batch.x.T @ d_hidden,
        "b1": d_hidden.sum(axis=0),
        "w2": hidden.T @ d_logits,
        "b2": d_logits.sum(axis=0),
    }
    figures = {
        "loss": float(loss),
        "kl": float(batch.weights @ kl),
        "entropy": float(batch.weights @ -(probabilities * logps).sum(axis=1)),
        "clip_frac": float(batch.weights @ (free > clipped)),
    }
    return figures, gradient


class Adam:
    """The usual optimiser, in place."""

    def __init__(self, parameters: dict[str, np.ndarray]) -> None:
        self._first = {name: np.zeros_like(value) for name, value in parameters.items()}
        self._second = {name: np.zeros_like(value) for name, value in parameters.items()}
        self._count = 0

    def descend(self, parameters: dict[str, np.ndarray], gradient: dict[str, np.ndarray], lr: float) -> None:
        self._count += 1
        for name, g in gradient.items():
            self._first[name] += 0.1 * (g - self._first[name])
            self._second[name] += 0.01 * (g * g - self._second[name])
            mean = self._first[name] / (1.0 - 0.9**self._count)
            spread = np.sqrt(self._second[name] / (1.0 - 0.99**self._count))
            parameters[name] -= lr * mean / (spread + 1e-8)


# What ties the threads together.

T = TypeVar("T")


class Closed(Exception):
    """The channel takes nothing more, or has nothing more to give."""


class Channel(Generic[T]):
    """A bounded queue with an end: once closed it takes nothing, and readers stop when it is empty."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[T] = deque()
        self._closed = False
        self._changed = threading.Condition()  # guards the two above

    def put(self, item: T) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._size)
            if self._closed:
                raise Closed
            self._items.append(item)
            self._changed.notify_all()

    def get(self) -> T:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._items)
            if not self._items:
                raise Closed
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def __iter__(self) -> Iterator[T]:
        with suppress(Closed):
            while True:
                yield self.get()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


if __name__ == "__main__":
    main()
