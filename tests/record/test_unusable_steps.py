"""A step that cannot be used, said for all that follows: nothing is raised, and nobody need miss it."""

import pytest

from otel_wandb_bridge import SamplesLost, configure, set_step, training_step
from otel_wandb_bridge.record import ambient
from otel_wandb_bridge.testing import FakeRun
from otel_wandb_bridge.wandb_step_fix import update_training_step


@pytest.fixture(autouse=True)
def unsaid(monkeypatch):
    monkeypatch.setattr(ambient, "_said", set())


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: training_step(-1), "training_step(-1)"),
        (lambda: training_step("seven"), "training_step('seven')"),
        (lambda: set_step(3.5), "set_step(3.5)"),
        (lambda: training_step(None), "training_step(None)"),
        (lambda: update_training_step(-2), "update_training_step(-2)"),
        (lambda: training_step(3, priority=99), "training_step(priority=99)"),
    ],
)
def test_the_log_names_the_call_and_what_comes_of_it(caplog, call, said):
    """Not the SDK, which has no part in it."""
    call()
    (text,) = caplog.messages
    assert text.startswith(f"ignored: {said}")
    assert "SDK" not in text
    if "priority" not in said:
        assert "what is measured goes by the step of before, or has none where there was none" in text


def test_they_are_counted_and_are_no_samples():
    """Since the bridge was made; the law of conservation does not know them."""
    set_step(-1)
    with configure(FakeRun(), set_global=False) as bridge:
        with training_step(-1):
            bridge.log({"loss": 1})
        set_step(-1)
        bridge.force_flush()
        stats = bridge.stats()
    assert (2, 1, 0, True) == (stats.unusable_steps, stats.recorded, stats.rejected, stats.is_conserved())


def test_strict_raises_for_them_once():
    """The samples are in the run, at another step than was meant."""
    bridge = configure(FakeRun(), set_global=False, strict=True)
    set_step("soon")
    bridge.log({"loss": 1})
    with pytest.raises(
        SamplesLost, match="1 call of training_step or set_step had a step that cannot be used"
    ):
        bridge.force_flush()
    assert bridge.force_flush()
    bridge.shutdown()
