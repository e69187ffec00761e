"""What counts as arrived, misplaced and lost."""

from __future__ import annotations

import json

import pytest

from otel_wandb_bridge.cli.compare import Outcome, Passed, Recorder, arrivals, compare, points


def test_a_scalar_in_the_row_of_its_step_is_right():
    rows = [{"_step": 0, "loss": 0.5}, {"_step": 1, "loss": 0.25, "kl": 0.1}]
    passed = [
        Passed("trainer", 0, "loss", 0.5),
        Passed("trainer", 1, "loss", 0.25),
        Passed("x", 1, "kl", 0.1),
    ]

    assert Outcome(passed=3, right=3, misplaced=0, lost=0) == compare(passed, rows, "_step")


def test_a_scalar_in_no_row_is_lost():
    rows = [{"_step": 0, "loss": 0.5}]
    passed = [Passed("trainer", 0, "loss", 0.5), Passed("eval", 0, "accuracy", 0.5)]

    assert Outcome(passed=2, right=1, misplaced=0, lost=1) == compare(passed, rows, "_step")


def test_a_scalar_in_the_row_of_another_step_is_misplaced():
    rows = [{"_step": 0, "loss": 0.5}, {"_step": 3, "accuracy": 0.75}]
    passed = [Passed("trainer", 0, "loss", 0.5), Passed("eval", 1, "accuracy", 0.75)]

    assert Outcome(passed=2, right=1, misplaced=1, lost=0) == compare(passed, rows, "_step")


def test_a_value_that_is_almost_the_same_is_not_the_same():
    rows = [{"_step": 0, "loss": 0.30000000000000004}]

    assert Outcome(passed=1, right=0, misplaced=0, lost=1) == compare(
        [Passed("t", 0, "loss", 0.3)], rows, "_step"
    )


def test_the_same_value_of_the_same_key_at_many_steps_answers_once_for_each():
    rows = [{"_step": 1, "lr": 0.1}, {"_step": 2, "lr": 0.1}]
    passed = [Passed("trainer", step, "lr", 0.1) for step in range(4)]

    assert Outcome(passed=4, right=2, misplaced=0, lost=2) == compare(passed, rows, "_step")


def test_an_overwritten_scalar_is_lost():
    rows = [{"_step": 1, "loss": 0.2}]
    passed = [Passed("trainer", 1, "loss", 0.1), Passed("trainer", 1, "loss", 0.2)]

    assert Outcome(passed=2, right=1, misplaced=0, lost=1) == compare(passed, rows, "_step")


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, float("nan"), float("inf"), 1e-300, 0.1 + 0.2])
def test_a_value_is_the_same_after_json(value: float):
    read = json.loads(json.dumps(value).removesuffix(".0"))  # as W&B writes it: 1.0 is 1
    rows = [{"_step": 4, "key": read}]

    assert Outcome(1, right=1, misplaced=0, lost=0) == compare([Passed("s", 4, "key", value)], rows, "_step")


def test_the_step_stands_under_the_given_axis():
    late = [{"_step": 9, "global_step": 2, "accuracy": 0.5}]
    passed = [Passed("eval", 2, "accuracy", 0.5)]

    assert Outcome(1, right=1, misplaced=0, lost=0) == compare(passed, late, "global_step")
    assert Outcome(1, right=0, misplaced=1, lost=0) == compare(passed, late, "_step")


def test_rows_may_share_a_step_and_hold_other_things_than_scalars():
    rows = [
        {"global_step": 2, "loss": 0.5, "_timestamp": 1.5, "table": {"_type": "table-file"}, "name": "x"},
        {"global_step": 2, "accuracy": 1},
        {"accuracy": 0.5},
    ]
    passed = [Passed("trainer", 2, "loss", 0.5), Passed("eval", 2, "accuracy", 1.0)]

    assert Outcome(2, right=2, misplaced=0, lost=0) == compare(passed, rows, "global_step")


def test_a_curve_is_in_the_order_of_its_steps():
    rows = [{"s": 3, "a": 0.5}, {"s": 1, "a": 1}, {"s": 2, "b": 7}, {"a": 9}]

    assert points(rows, "a", "s") == [(1, 1.0), (3, 0.5)]


def test_a_recorder_remembers_what_was_passed_even_if_reporting_it_fails():
    def refuse(source: str, step: int, values: dict[str, float]) -> None:
        raise RuntimeError(source)

    recorder = Recorder(refuse)
    with pytest.raises(RuntimeError, match="eval"):
        recorder("eval", 5, {"accuracy": 0.5, "length": 5.0})

    assert recorder.calls == 1
    assert [Passed("eval", 5, "accuracy", 0.5), Passed("eval", 5, "length", 5.0)] == recorder.passed


def test_each_scalar_is_said_to_have_arrived_once_for_each_value_in_a_row():
    passed = [Passed("a", 1, "loss", 0.5), Passed("b", 1, "loss", 0.5), Passed("a", 2, "loss", float("nan"))]
    rows = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": float("nan")}]

    assert [arrived for _, arrived in arrivals(passed, rows, "step")] == [True, False, True]
