"""The rule of the step clock."""

import threading

from otel_wandb_bridge.record import current_step, set_step
from otel_wandb_bridge.record.clock import StepClock


def test_a_clock_that_nobody_set_shows_nothing():
    """Unstepped, not step 0."""
    assert None is StepClock().state.step
    assert None is StepClock().state.step_of("trainer")


def test_who_names_no_source_moves_the_process_anywhere():
    """Forward and back."""
    clock = StepClock()
    for step in (3, 9, 2):
        clock.set(step)
        assert step == clock.state.step


def test_a_source_moves_its_own_step_anywhere_and_the_process_forward():
    """An evaluator that is five steps behind does not drag the trainer back."""
    clock = StepClock()
    clock.set(10, "trainer")
    clock.set(5, "evaluator")
    assert 10 == clock.state.step
    assert 5 == clock.state.step_of("evaluator")
    clock.set(11, "evaluator")
    assert 11 == clock.state.step
    assert 10 == clock.state.step_of("trainer")


def test_the_source_that_moved_the_process_last_may_take_it_back():
    """A trainer that resumes from a checkpoint goes back, and the process with it."""
    clock = StepClock()
    clock.set(10, "trainer")
    clock.set(4, "trainer")
    assert 4 == clock.state.step


def test_saying_the_step_that_is_shown_is_not_moving_it():
    """An evaluator that reaches the trainer's step may not drag the trainer back afterwards either."""
    clock = StepClock()
    clock.set(10, "trainer")
    clock.set(10, "evaluator")
    clock.set(5, "evaluator")
    assert 10 == clock.state.step
    clock.set(4, "trainer")
    assert 4 == clock.state.step


def test_whoever_has_said_no_step_has_that_of_the_process():
    """With a source of its own or without."""
    clock = StepClock()
    clock.set(10, "trainer")
    assert 10 == clock.state.step_of("logger")
    assert 10 == clock.state.step_of(None)


def test_a_source_is_known_by_its_text():
    """Rank 3 and "3" are one source, as they are in W&B, and no source breaks the clock."""
    clock = StepClock()
    clock.set(10)
    clock.set(3, 3)
    assert 3 == clock.state.step_of("3")
    assert 3 == clock.state.step_of(3)
    clock.set(4, ["a", "list"])
    assert 4 == clock.state.step_of(["a", "list"])
    assert 10 == clock.state.step_of({"never": "set"})


def test_what_was_read_does_not_move():
    """A measurement keeps the state, so a later step must not change it."""
    clock = StepClock()
    clock.set(1, "trainer")
    kept = clock.state
    clock.set(2, "trainer")
    assert 1 == kept.step
    assert 1 == kept.step_of("trainer")


def test_reset_forgets_every_source():
    """The next run starts without a step."""
    clock = StepClock()
    clock.set(1, "trainer")
    clock.reset()
    assert None is clock.state.step_of("trainer")


def test_set_step_moves_the_clock_of_the_process():
    """`current_step` shows it, also in threads that were started before."""
    seen = []
    asked = threading.Event()

    def look():
        asked.wait(5)
        seen.append(current_step())

    thread = threading.Thread(target=look)
    thread.start()
    set_step(7)
    asked.set()
    thread.join()
    assert [7] == seen


def test_no_step_of_a_source_is_lost_between_threads():
    """Each of eight sources ends at its own last step, and the process at the highest."""
    clock = StepClock()

    def run(source):
        for step in range(1, 501):
            clock.set(step * 8 + source, f"rank {source}")

    threads = [threading.Thread(target=run, args=(source,)) for source in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [4000 + source for source in range(8)] == [
        clock.state.step_of(f"rank {source}") for source in range(8)
    ]
    assert 4007 == clock.state.step
