"""The ambient step: whose step a measurement without a `step` attribute gets."""

import asyncio
import contextvars
import logging
import threading

import pytest
from opentelemetry import baggage, context, propagate
from recorder import Recorder

from otel_wandb_bridge.attributes import PRIORITY, SETTLED_STEP, SOURCE
from otel_wandb_bridge.record import ambient, current_step, set_step, training_step


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def measure(recorder):
    """Records one measurement, and tells the step it got."""
    gauge = recorder.meter.create_gauge("loss")

    def measure(attributes=None, context=None):
        gauge.set(1.0, attributes, context)
        [step] = recorder.steps()
        return step

    return measure


@pytest.fixture
def warnings(caplog, monkeypatch):
    """The lines said to the user; what was said in other tests is forgotten."""
    monkeypatch.setattr(ambient, "_said", set())
    caplog.set_level(logging.WARNING, "otel_wandb_bridge")
    return caplog


def test_attribute_then_baggage_then_the_clock_of_the_source_then_of_the_process(measure):
    """The order in which a step is looked for."""
    assert False is measure()
    set_step(1)
    assert 1 == measure()
    set_step(0, source="evaluator")
    assert 0 == measure({"source": "evaluator"})
    assert 1 == measure({"source": "trainer"})
    with training_step(2):
        set_step(9)
        assert 2 == measure()
        assert 2 == measure({"source": "evaluator"})
        assert 3 == measure({"step": 3})


def test_plain_baggage_is_as_good_as_a_block(measure):
    """What a request from another process brings along, which is text."""
    token = context.attach(baggage.set_baggage("step", "4"))
    try:
        set_step(9)
        assert 4 == measure()
        assert 4 == current_step()
    finally:
        context.detach(token)


def test_a_context_that_is_passed_along_with_the_measurement_counts(measure):
    """The measurement's context, not the caller's."""
    with training_step(1):
        assert 6 == measure(context=baggage.set_baggage("step", "6"))


@pytest.mark.parametrize("foreign", ["", "checkout", "-1", "nan", "1.5", None, object()])
def test_baggage_that_is_no_step_is_passed_over(measure, foreign):
    """`step` is a common word, and another service may use it."""
    set_step(5)
    assert 5 == measure(context=baggage.set_baggage("step", foreign))


def test_a_step_is_settled_when_it_is_recorded(recorder):
    """Whatever the clock shows, and whatever block is left or entered, when it is collected."""
    gauge = recorder.meter.create_gauge("loss")
    set_step(1)
    gauge.set(1.0)
    set_step(2, source="evaluator")
    gauge.set(1.0, {"source": "evaluator"})
    with training_step(3):
        gauge.set(1.0)
    set_step(100)
    set_step(200, source="evaluator")
    with training_step(300):
        assert [1, 3, 2] == recorder.steps()


def test_a_block_gives_back_the_step_as_an_int():
    """So that `with training_step(np.int64(7)) as step` has a plain one."""
    with training_step("7") as step:
        assert 7 == step
        assert int is type(step)


def test_blocks_nest_and_the_clock_stays(measure):
    """Each block ends with the step of the one around it; only the clock remembers the last entered."""
    with training_step(1):
        with training_step(2):
            assert 2 == measure()
        assert 1 == measure()
    assert None is baggage.get_baggage("step")
    assert 2 == measure()


def test_one_object_nests_in_itself(measure):
    """A recursive function may be decorated."""

    @training_step(1)
    def recurse(depth):
        return [measure()] + (recurse(depth - 1) if depth else [])

    with training_step(8):
        assert [1, 1, 1] == recurse(2)
        assert 8 == measure()


def test_an_exception_passes_and_the_block_ends(measure):
    """Like any context manager that is there for the telemetry only."""
    with training_step(1):
        with pytest.raises(KeyError), training_step(2):
            raise KeyError
        assert 1 == measure()


def test_a_decorated_function_runs_inside_the_step(measure):
    """Its name, arguments and result are its own."""

    @training_step(3)
    def evaluate(x, *, y):
        """Evaluate."""
        return x + y, measure()

    assert (3, 3) == evaluate(1, y=2)
    assert "evaluate" == evaluate.__name__
    assert None is baggage.get_baggage("step")


def test_a_decorated_coroutine_runs_inside_the_step(measure):
    """All of it: before and after each await."""

    @training_step(3)
    async def evaluate():
        before = measure()
        await asyncio.sleep(0)
        return before, measure()

    async def main():
        return await evaluate(), baggage.get_baggage("step")

    assert ((3, 3), None) == asyncio.run(main())


def test_interleaved_tasks_keep_their_own_steps(measure):
    """Twenty tasks that take turns, each within its own block, and subtasks that inherit it."""

    async def rollout(step):
        seen = set()
        with training_step(step):
            for _ in range(5):
                await asyncio.sleep(0)
                seen.add(measure())
                seen.add(await asyncio.create_task(inherit()))
        return seen

    async def inherit():
        await asyncio.sleep(0)
        return measure()

    async def main():
        return await asyncio.gather(*map(rollout, range(20)))

    assert [{step} for step in range(20)] == asyncio.run(main())


def test_many_tasks_may_be_inside_one_object(caplog):
    """First in is first out here, which is not the order of a stack."""
    block = training_step(5)
    seen = []

    async def worker(entered, may_leave):
        with block:
            entered.set()
            await may_leave.wait()
            seen.append(baggage.get_baggage("step"))
        seen.append(baggage.get_baggage("step"))

    async def main():
        first, second = asyncio.Event(), asyncio.Event()
        await asyncio.gather(worker(first, second), worker(second, first))

    asyncio.run(main())
    assert ["5", None, "5", None] == seen
    assert [] == caplog.records


def test_many_threads_may_be_inside_one_object(caplog):
    """Each thread leaves the block that it entered."""
    block = training_step(5)
    inside = threading.Barrier(4, timeout=10)
    seen = []

    def work():
        for _ in range(20):
            with block:
                inside.wait()
                seen.append(baggage.get_baggage("step"))
            seen.append(baggage.get_baggage("step"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 80 == seen.count("5")
    assert 80 == seen.count(None)
    assert [] == caplog.records


def test_a_step_follows_a_context_that_is_copied_to_a_thread(measure):
    """While a thread that is just started has the clock of the process."""
    seen = {}

    def work(name):
        seen[name] = measure()

    with training_step(1):
        copied = contextvars.copy_context()
    set_step(2)
    for name, target in (("copied", copied.run), ("fresh", lambda function, name: function(name))):
        thread = threading.Thread(target=target, args=(work, name))
        thread.start()
        thread.join()
    assert {"copied": 1, "fresh": 2} == seen


def test_source_and_priority_of_a_block_reach_its_measurements(recorder):
    """Unless the measurement says its own."""
    gauge = recorder.meter.create_gauge("loss")
    with training_step(1, source="evaluator", priority=2):
        gauge.set(1.0)
        gauge.set(1.0, {"source": "trainer", "priority": 7})
    [ambient_one, own] = recorder.exemplars()
    assert {SETTLED_STEP: 1, SOURCE: "evaluator", PRIORITY: 2} == ambient_one.filtered_attributes
    assert {SETTLED_STEP: 1} == own.filtered_attributes


def test_an_inner_block_keeps_the_source_of_the_outer_one(recorder):
    """What is not said again stays."""
    with training_step(1, source="evaluator", priority=2), training_step(2):
        recorder.meter.create_gauge("loss").set(1.0)
    [exemplar] = recorder.exemplars()
    assert {SETTLED_STEP: 2, SOURCE: "evaluator", PRIORITY: 2} == exemplar.filtered_attributes


def test_only_the_step_goes_along_to_other_processes():
    """What these report is theirs, so source and priority are not in what is propagated."""
    carrier = {}
    with training_step(7, source="evaluator", priority=2):
        propagate.inject(carrier)
        assert {"step": "7"} == dict(baggage.get_all())
    assert "step=7" == carrier["baggage"]
    assert "evaluator" not in repr(carrier)


def test_a_step_comes_back_out_of_what_was_propagated(measure):
    """The other side of a request, with the standard propagators of OpenTelemetry."""
    carrier = {}
    with training_step(7):
        propagate.inject(carrier)
    set_step(9)
    assert 7 == measure(context=propagate.extract(carrier))


@pytest.mark.parametrize("bad", [-1, "x", None, float("nan"), True, 1.5, [], object(), b"5"])
def test_a_bad_step_changes_nothing_and_is_said_once(measure, warnings, bad):
    """Neither block, decorator nor `set_step` raises, and the step of before goes on."""
    set_step(4)
    with training_step(5, source="trainer"):
        for _ in range(2):
            set_step(bad)
            set_step(bad, source="trainer")
            with training_step(bad) as step:
                assert None is step
                assert 5 == measure() == current_step()
            assert 5 == training_step(bad)(measure)()
    assert 2 == len(warnings.messages)  # set_step and training_step
    assert "a step is an int" in warnings.text


def test_a_bad_step_still_says_who_reports(recorder):
    """The block's source and priority hold, and so does the clock of that source."""
    set_step(3, source="evaluator")
    set_step(9)
    with training_step("bad", source="evaluator", priority=1):
        recorder.meter.create_gauge("loss").set(1.0)
        assert 3 == current_step()
    [exemplar] = recorder.exemplars()
    assert {SETTLED_STEP: 3, SOURCE: "evaluator", PRIORITY: 1} == exemplar.filtered_attributes


def test_a_bad_priority_is_said_and_left_out(recorder, warnings):
    """The step holds all the same."""
    with training_step(1, priority=11):
        recorder.meter.create_gauge("loss").set(1.0)
    [exemplar] = recorder.exemplars()
    assert {SETTLED_STEP: 1} == exemplar.filtered_attributes
    assert "a priority is an int from 0 (highest) to 10 (lowest)" in warnings.text


def test_a_source_of_any_type_is_taken_as_text(measure):
    """A rank as a source raises nothing and has a clock of its own."""
    set_step(9)
    set_step(1, source=0)
    assert 1 == measure({"source": 0})
    assert 1 == measure({"source": "0"})
    with training_step(2, source=["odd"]):
        assert 2 == measure()


def test_current_step_is_the_step_that_a_measurement_gets(measure):
    """In every place where one may be said."""
    assert None is current_step()
    set_step(1)
    assert 1 == current_step() == measure()
    with training_step(2, source="evaluator"):
        assert 2 == current_step() == measure()
        token = context.attach(baggage.set_baggage("step", "junk"))
        set_step(3, source="evaluator")
        set_step(7)
        assert 3 == current_step() == measure()
        context.detach(token)
    assert 7 == current_step() == measure()


def test_leaving_a_block_in_another_context_raises_nothing(caplog):
    """A generator that is closed elsewhere leaves a block in a context that never entered it."""
    block = training_step(1)
    contextvars.copy_context().run(block.__enter__)
    block.__exit__(None, None, None)
    assert None is baggage.get_baggage("step")
    assert [] == caplog.records
