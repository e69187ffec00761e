"""`run.step` and `run.summary`: to a script, calls that wait are as good as written."""

import pytest

STEPS = """
CALLS = [
    dict(step=3), dict(step=3, commit=True), {}, dict(commit=False), dict(step=9), {}, dict(step=4),
    dict(step=-1), dict(step=20, commit=False), dict(commit=True), dict(step=30, commit=1), dict(step=30),
    {}, {},
]

def seen(run):
    steps = [run.step]
    for number, call in enumerate(CALLS):
        run.log({"a": number}, **call)
        steps.append(run.step)
    return steps
"""


@pytest.fixture(scope="module")
def steps(run_program):
    """The step that a script reads after each of its calls, by W&B alone and patched."""
    program = (
        STEPS
        + """
run = init("native")
native = seen(run)
run.finish()
patch_wandb_log(flush_interval=NEVER)
run = init("patched")
patched = seen(run)
finalize_wandb_logging()
flushed = run.step
report(native=native, patched=patched, flushed=flushed, waited=get_step_manager().get_stats()["rows"])
run.finish()
unpatch_wandb_log()
report(is_as_it_was=[Run.step.fget.__module__, type(run.summary).update.__module__])
"""
    )
    return run_program(program).ended_well().facts


def test_a_script_reads_the_step_that_it_would_read(steps):
    """After each call, though nothing is written yet; a script may well log at `run.step`."""
    assert steps["native"] == steps["patched"]
    assert steps["native"][-1] == steps["flushed"]


def test_unpatched_the_step_and_the_summary_are_those_of_wandb(steps):
    """The property and the methods are put back."""
    assert ["wandb.sdk.wandb_run", "wandb.sdk.wandb_summary"] == steps["is_as_it_was"]


SUMMARIES = """
def set_after(run):
    run.log({"loss": 1.0})
    run.summary["loss"] = 9.0


def updated_after(run):
    run.log({"loss": 1.0, "other": 2})
    run.summary.update({"loss": 9.0, "best": 0.5})


def set_by_attribute(run):
    run.log({"loss": 1.0})
    run.summary.loss = 9.0


def removed_after(run):
    run.log({"loss": 1.0, "other": 2})
    del run.summary["loss"]


def nested(run):
    run.log({"eval": {"loss": 1.0, "f1": 0.5}})
    run.summary["eval"]["loss"] = 9.0


def logged_after(run):
    run.log({"loss": 1.0})
    run.summary["loss"] = 9.0
    run.log({"loss": 2.0})


def set_twice(run):
    for number in range(4):
        run.log({"loss": number})
        run.summary["loss"] = 10 - number


def with_steps(run):
    for step in range(3):
        run.log({"loss": step / 2}, step=step, commit=True)
        run.summary["loss"] = 9.0 - step


def late_after(run):
    run.log({"loss": 1.0, "seen": 1}, step=7, commit=True)
    run.summary["loss"] = 9.0
    run.summary["never logged before"] = 8.0
    run.log({"loss": 0.5, "seen": 1, "never logged before": 1.0}, step=3, commit=True)


def in_the_making(run):
    run.log({"a": 1}, commit=False)
    run.summary["b"] = 9.0
    run.log({"b": 2})


def read(run):
    best = 0
    for value in (3, 5, 4):
        run.log({"score": value})
        best = max(best, run.summary["score"], run.summary.get("score"), run.summary.score)
    ours = ("_", "global_step")
    run.log({"best": best, "keys": sorted(key for key in run.summary.keys() if not key.startswith(ours))})


CASES = [
    set_after, updated_after, set_by_attribute, removed_after, nested, logged_after, set_twice, with_steps,
    late_after, in_the_making, read,
]


def run_all(kind):
    for case in CASES:
        with init(f"{kind}-{case.__name__}") as run:
            case(run)
"""


@pytest.fixture(scope="module")
def summaries(run_program):
    """The same scripts, by W&B alone and patched."""
    program = f'{SUMMARIES}\nrun_all("native")\npatch_wandb_log(flush_interval=NEVER)\nrun_all("patched")\n'
    return run_program(program, timeout=120).ended_well()


@pytest.mark.parametrize(
    "case",
    [
        "set_after",
        "updated_after",
        "set_by_attribute",
        "removed_after",
        "nested",
        "logged_after",
        "set_twice",
        "with_steps",
        "late_after",
        "in_the_making",
        "read",
    ],
)
def test_the_summary_is_what_it_would_be(summaries, case):
    """Of what a script logs under a key and writes into the summary, the later stands, as in W&B."""

    def plain(kind):
        summary = summaries.runs[f"{kind}-{case}"].summary
        return {key: summary[key] for key in summary if key[0] != "_" and key != "global_step"}

    assert plain("native") == plain("patched")


def test_what_the_script_writes_stands_over_a_row_in_the_making(run_program):
    """W&B lets the row of the last `step=` overwrite it at the finish, which nobody means."""
    program = """
    patch_wandb_log(flush_interval=NEVER)
    with init("standing") as run:
        run.log({"loss": 1.0}, step=0)
        run.summary["loss"] = 9.0
    """
    assert 9.0 == run_program(program).ended_well().runs["standing"].summary["loss"]


def test_a_summary_of_its_own_keys_tears_no_row(run_program):
    """A best value that is kept in the summary alone: the rows go on waiting for all components."""
    program = """
    patch_wandb_log(flush_interval=NEVER)

    def reward(step):
        run.log({"reward": step}, step=step)

    with init("whole") as run:
        for step in range(5):
            run.log({"loss": step}, step=step)
            run.summary["best"] = step
            run.summary.get("best")
            if step:
                reward(step - 1)
    """
    run = run_program(program).ended_well().runs["whole"]
    assert [[0, 0], [1, 1], [2, 2], [3, 3], [4, None]] == [
        [row["loss"], row.get("reward")] for row in run.rows
    ]
