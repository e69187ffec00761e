"""Programs that are no plain loop: tasks, generators, reloads, bursts, a patch that comes and goes."""

import pytest

LIVES = """
import asyncio
import importlib
from contextlib import asynccontextmanager

from otel_wandb_bridge import wandb_step_fix


def tasks(run):
    async def worker(number):
        for step in range(30):
            with training_step(step):
                wandb.log({f"w{number}": step})
                await asyncio.sleep(0)

    async def trainer():
        for step in range(30):
            run.log({"loss": step}, step=step)
            await asyncio.sleep(0)

    async def produced():
        for step in range(30):
            run.log({"produced": step}, step=step)
            yield step

    async def consume():
        async for _ in produced():
            await asyncio.sleep(0)

    async def main():
        await asyncio.gather(*(worker(number) for number in range(4)), trainer(), consume())

    asyncio.run(main())


def blocks(run):
    @asynccontextmanager
    async def at_nine():
        with training_step(9):
            wandb.log({"before": 9})
            yield
            wandb.log({"after": 9})

    async def main():
        async with at_nine():
            wandb.log({"within": 9})

    asyncio.run(main())
    with training_step(12):
        wandb.log({"within": 12})


def reloaded(run):
    run.log({"a": 0}, step=9)
    importlib.reload(wandb)
    run.log({"a": 1}, step=1)
    wandb_step_fix.patch_wandb_log()
    run.log({"a": 2}, step=2)
    for step, name in enumerate(("", ".routes", ".patch"), 3):
        importlib.reload(sys.modules[f"otel_wandb_bridge.wandb_step_fix{name}"])
        wandb_step_fix.patch_wandb_log()
        run.log({"a": step}, step=step)


patch_wandb_log(flush_interval=NEVER)
for life in (tasks, blocks, reloaded):
    with init(life.__name__) as run:
        life(run)
wandb_step_fix.unpatch_wandb_log()
functions = (Run.log, Run._log, Run._define_metric)
report(left=[each.__code__.co_filename.rpartition("/")[2] for each in functions])
"""


@pytest.fixture(scope="module")
def lives(run_program):
    """All of them, one run each."""
    return run_program(LIVES).ended_well()


def test_tasks_and_generators_are_components_like_threads(lives):
    """Each has the step of its own context, and all are in the row of their step."""
    run = lives.runs["tasks"]
    for key in ("w0", "w1", "w2", "w3", "loss", "produced"):
        assert {step: step for step in range(30)} == run.by_step(key)
    assert 30 == len(run.rows)


def test_a_step_lasts_through_an_asynchronous_block(lives):
    """However often the task is left in between, and no longer than the block."""
    run = lives.runs["blocks"]
    assert {9: 9} == run.by_step("before") == run.by_step("after")
    assert {9: 9, 12: 12} == run.by_step("within")


def test_a_reload_of_wandb_or_of_ours_loses_nothing(lives):
    """Notebooks do that; each value once, at its step."""
    assert {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 9: 0} == lives.runs["reloaded"].by_step("a")


def test_after_a_reload_unpatching_still_puts_back_what_was_there(lives):
    """The very functions of W&B."""
    assert ["wandb_run.py"] * 3 == lives.facts["left"]


TORN_DOWN = """
def outcome(log):
    try:
        return repr(log({"a": 3}))
    except BaseException as error:
        return f"{type(error).__name__}: {error}"


run = init("torn down")
run.log({"a": 1}, step=3)
run.log({"a": 2}, step=1)
wandb.teardown()
report(outcomes=[outcome(log) for log in (run.log, wandb.log)])
try:
    run = init("afterwards")
except BrokenPipeError:  # after a teardown, wandb 0.18 makes no run any more
    report(afterwards=[])
    os._exit(0)
run.log({"a": 1}, step=3)
run.log({"a": 2}, step=1)
report(afterwards=["afterwards"])
run.finish()
"""


def test_a_teardown_loses_nothing_and_ends_as_it_does_in_wandb(run_program):
    """What was logged is written before; what is logged afterwards is W&B's to refuse."""
    native = run_program(TORN_DOWN)
    patched = run_program(f"patch_wandb_log(flush_interval=NEVER)\n{TORN_DOWN}")
    assert native.facts == patched.facts
    for name in ("torn down", *native.facts["afterwards"]):
        assert {1: 2, 3: 1} == patched.runs[name].by_step("a")


def test_a_patch_that_comes_and_goes_under_load_costs_no_row(run_program):
    """Eight threads that toggle, four that log, all of them at once."""
    program = """
    run = init("toggled")
    errors = []
    sys.setswitchinterval(1e-5)

    def log(thread):
        try:
            for number in range(100):
                (wandb.log if number % 2 else run.log)({f"t{thread}": number})
        except BaseException as error:
            errors.append(repr(error))

    def toggle():
        try:
            while any(thread.is_alive() for thread in loggers):
                patch_wandb_log()
                unpatch_wandb_log()
        except BaseException as error:
            errors.append(repr(error))

    loggers = [threading.Thread(target=log, args=(number,)) for number in range(4)]
    threads = loggers + [threading.Thread(target=toggle) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    unpatch_wandb_log()
    run.finish()
    report(errors=errors)
    """
    ended = run_program(program, timeout=120)
    assert (0, []) == (ended.code, ended.facts["errors"])
    for thread in range(4):
        assert list(range(100)) == sorted(ended.runs["toggled"].values(f"t{thread}"))


def test_a_burst_of_calls_is_written_to_the_last(run_program):
    """Faster than W&B takes rows by far, from four threads, past the bound of what waits."""
    program = """
    patch_wandb_log(max_pending=500)
    run = init("burst")

    def log(thread):
        for step in range(1_000):
            run.log({f"t{thread}": step}, step=step)

    threads = [threading.Thread(target=log, args=(number,)) for number in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    run.finish()
    """
    run = run_program(program, timeout=120).runs["burst"]
    for thread in range(4):
        assert {step: step for step in range(1_000)} == run.by_step(f"t{thread}")
