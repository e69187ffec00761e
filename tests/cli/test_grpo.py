"""The demo's training is a real one: its gradient is right, and it learns."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from otel_wandb_bridge.cli.demo import load_grpo

grpo = load_grpo()


class Reports:
    """Keeps what was reported: by source, in the order of reporting."""

    def __init__(self) -> None:
        self.by_source: dict[str, list[tuple[int, dict[str, float]]]] = defaultdict(list)

    def __call__(self, source: str, step: int, values: dict[str, float], /) -> None:
        self.by_source[source].append((step, values))


@pytest.fixture(scope="module")
def reports() -> Reports:
    reports = Reports()
    grpo.train(reports, steps=100, seed=0)
    return reports


def make_batch() -> tuple[dict[str, np.ndarray], Any]:
    """A batch and a policy that has moved away from the one that sampled it, so that clipping is active."""
    rng = np.random.default_rng(0)
    reference, sampling = grpo.initial_policy(rng, hidden=7), grpo.initial_policy(rng, hidden=7)
    rollout = grpo.sample(
        sampling, np.repeat(rng.integers(0, 10, (2, grpo.DIGITS)), grpo.GROUP, axis=0), rng, 0
    )
    batch = grpo.Batch.of(rollout, rng.random(len(rollout.prompts)), reference)
    moved = {name: value + 0.15 * rng.normal(size=value.shape) for name, value in sampling.items()}
    return moved, batch


@pytest.mark.parametrize("name", ["w1", "b1", "w2", "b2"])
def test_the_gradient_agrees_with_finite_differences(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(grpo, "KL_WEIGHT", 0.5)  # else the penalty would hide behind the surrogate
    policy, batch = make_batch()
    figures, gradient = grpo.grpo_loss(policy, batch)
    assert 0.05 < figures["clip_frac"] < 0.95

    numeric = np.zeros_like(policy[name])
    for index in np.ndindex(policy[name].shape):
        losses = []
        for shift in (1e-6, -1e-6):
            shifted = policy[name].copy()
            shifted[index] += shift
            losses.append(grpo.grpo_loss(policy | {name: shifted}, batch)[0]["loss"])
        numeric[index] = (losses[0] - losses[1]) / 2e-6

    assert np.abs(numeric).max() > 1e-3
    np.testing.assert_allclose(gradient[name], numeric, rtol=1e-5, atol=1e-8)


def test_advantages_are_normalised_within_each_group():
    _, batch = make_batch()

    mean = batch.weights @ batch.advantages  # every completion weighs the same, however long
    deviation = (batch.weights @ batch.advantages**2) ** 0.5
    assert (mean, deviation) == (pytest.approx(0.0), pytest.approx(1.0, rel=1e-3))


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ([1, 2, 3, 4, 5], 1.0),
        ([], 0.0),
        ([1, 2, 3, 4], 0.8),
        ([1, 2, 3, 4, 5, 6, 7, 8], 5 / 8),
        ([9] * 5, 0.0),
    ],
)
def test_the_reward_is_the_edit_distance_to_the_sorted_digits(word: list[int], expected: float):
    assert expected == pytest.approx(grpo.reward(np.array([3, 1, 5, 2, 4]), word))


@pytest.mark.long
def test_the_reward_rises(reports: Reports):
    means = [values["reward/mean"] for _, values in reports.by_source["reward"]]

    assert np.mean(means[-10:]) > np.mean(means[:10]) + 0.1


@pytest.mark.long
def test_every_component_reports_its_steps_in_order(reports: Reports):
    every_step = list(range(100))
    steps = {source: [step for step, _ in entries] for source, entries in reports.by_source.items()}

    expected = {"trainer": every_step, "callback": every_step, "reward": every_step, "eval": every_step[::10]}
    assert expected == steps


def test_the_same_seed_trains_the_same_policy_whatever_the_threads_do():
    first, second = (grpo.train(Reports(), steps=12, seed=3) for _ in range(2))

    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_the_reward_worker_reports_steps_that_the_trainer_has_left_behind():
    trainer_at: list[int] = []
    lags: list[int] = []

    def report(source: str, step: int, values: dict[str, float], /) -> None:
        if source == "trainer":
            trainer_at.append(step)
        elif source == "reward":
            lags.append(trainer_at[-1] - step)

    grpo.train(report, steps=24, seed=0)

    # The first of a batch is scored only after its last has been sampled.
    first_of_batch = lags[:: grpo.REWARD_BATCH]
    assert min(first_of_batch) >= grpo.REWARD_BATCH - 2


@pytest.mark.parametrize("culprit", ["trainer", "callback", "reward", "eval"])
def test_what_is_raised_in_any_thread_is_raised_by_train(culprit: str):
    def report(source: str, step: int, values: dict[str, float], /) -> None:
        if source == culprit and step >= 10:
            raise ValueError(f"{source} broke")

    with pytest.raises(ValueError, match=f"{culprit} broke"):
        grpo.train(report, steps=60, seed=0)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("grpo")]
