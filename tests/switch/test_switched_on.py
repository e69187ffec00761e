"""The switch with the real W&B: a program that knows nothing of us, and its runs."""

import pytest

from otel_wandb_bridge.testing import read_rows

IS_PATCHED = """
import wandb
from wandb import wandb_run
patched = (wandb_run.Run._log, wandb_run.Run.log, wandb_run.Run._define_metric)
print(any("otel_wandb" in function.__code__.co_filename for function in patched))
"""


def rows_of(directory, run="*"):
    (file,) = (directory / "wandb").glob(f"*run-*/run-{run}.wandb")
    return read_rows(file)


@pytest.mark.parametrize(("on", "is_patched"), [("1", "True"), (None, "False")])
def test_wandb_itself_is_patched_when_it_is_imported(python, on, is_patched):
    """Before the program sees it."""
    assert [is_patched] == python(IS_PATCHED, on=on).ended_well().lines


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OTEL_WANDB_HOLD", "soon", "OTEL_WANDB_HOLD='soon': expected a number"),
        ("OTEL_WANDB_LATE", "never", "late must be one of"),
        ("WANDB_STEP_FIX_BUFFER_SIZE", "0", "a whole number of calls"),
        (
            "WANDB_STEP_FIX_FLUSH_INTERVAL",
            "1s",
            "WANDB_STEP_FIX_FLUSH_INTERVAL='1s': a number of seconds above 0 is expected",
        ),
    ],
)
def test_an_option_that_cannot_be_used_costs_one_line_and_no_import(python, variable, value, said):
    """It names what came and what is expected, and W&B is as it is."""
    ended = python(IS_PATCHED, on="1", env={variable: value})
    assert (0, ["False"]) == (ended.code, ended.lines)
    (line,) = ended.err.splitlines()
    assert line.startswith("wandb_step_fix: wandb.log is not patched: ")
    assert said in line


def test_an_installation_without_the_sdk_costs_one_line_and_no_import(python):
    """`pip install --no-deps` does that."""
    ended = python("import sys; sys.modules['opentelemetry.sdk.metrics'] = None\n" + IS_PATCHED, on="1")
    assert (0, ["False"]) == (ended.code, ended.lines)
    (line,) = ended.err.splitlines()
    assert line.startswith("wandb_step_fix: wandb.log is not patched: ")
    assert "opentelemetry.sdk.metrics" in line


def test_a_program_that_knows_nothing_of_us_loses_nothing(python, tmp_path):
    """What W&B drops without the switch is at its step with it."""
    code = """
    import wandb
    with wandb.init() as run:
        for step in range(5):
            wandb.log({"train": step}, step=step + 3)
            run.log({"slow": step}, step=step)
    """
    python(code, on="1").ended_well()
    rows = rows_of(tmp_path)
    assert {step + 3: step for step in range(5)} == {
        row["global_step"]: row["train"] for row in rows if "train" in row
    }
    assert {step: step for step in range(5)} == {
        row["global_step"]: row["slow"] for row in rows if "slow" in row
    }


def test_the_four_lines_beside_the_switch_write_each_value_once(python, tmp_path):
    """Programs that have them go on to have them."""
    code = """
    import atexit, os
    import wandb
    from otel_wandb_bridge.wandb_step_fix import finalize_wandb_logging, patch_wandb_log

    if os.getenv("WANDB_STEP_FIX_ENABLED", "false").lower() == "true":
        patch_wandb_log()
        atexit.register(finalize_wandb_logging)

    run = wandb.init()
    for step in (2, 0, 1):
        wandb.log({"loss": step}, step=step)
    """
    python(code, on="true").ended_well()
    rows = rows_of(tmp_path)
    assert [(step, step) for step in range(3)] == [(row["global_step"], row["loss"]) for row in rows]


def test_the_buffer_size_and_the_interval_of_the_environment_count(python):
    """They are those of the manager; the interval is seen in what is written before the end."""
    code = """
    import time
    import wandb
    from otel_wandb_bridge.wandb_step_fix import get_step_manager

    settings = get_step_manager().settings
    print(settings.buffer_size, settings.flush_interval)
    with wandb.init() as run:
        for step in range(3):
            run.log({"loss": step}, step=step)
        end = time.monotonic() + 30
        while get_step_manager().get_stats()["written"] < 2 and time.monotonic() < end:
            time.sleep(0.01)
        print(get_step_manager().get_stats()["written"])
    """
    options = {"WANDB_STEP_FIX_BUFFER_SIZE": "7", "WANDB_STEP_FIX_FLUSH_INTERVAL": "0.5"}
    assert ["7 0.5", "2"] == python(
        code, on="1", env={**options, "OTEL_WANDB_HOLD": "3600"}
    ).ended_well().lines


def test_spawned_children_inherit_the_switch(python, tmp_path):
    """Their own runs lose nothing either."""
    code = """
    import multiprocessing

    def work(name):
        import wandb
        with wandb.init(id=name) as run:
            for step in (3, 1, 2):
                run.log({"loss": step}, step=step)

    if __name__ == "__main__":
        children = [multiprocessing.get_context("spawn").Process(target=work, args=[name]) for name in "ab"]
        for child in children:
            child.start()
        for child in children:
            child.join()
        print([child.exitcode for child in children])
    """
    assert ["[0, 0]"] == python(code, on="1").ended_well().lines
    for name in "ab":
        assert [1, 2, 3] == [row["global_step"] for row in rows_of(tmp_path, name)]


def test_wandbs_own_programs_are_not_disturbed(python):
    """Its command line is a program that imports it."""
    without = python(args=["-m", "wandb", "--version"]).ended_well()
    assert without == python(args=["-m", "wandb", "--version"], on="1")


@pytest.mark.parametrize(
    "first",
    [
        "from otel_wandb_bridge.wandb_step_fix import safe_wandb_log",
        "from otel_wandb_bridge import configure",
        "from otel_wandb_bridge.exporter import WandbMetricExporter",
        "import otel_wandb_bridge.write",
        "import otel_wandb_bridge.testing",
    ],
)
def test_a_part_of_ours_may_be_imported_before_wandb(python, first):
    """As sorted imports have it: `wandb` is imported while a part of ours is half imported."""
    code = f"""
{first}
import wandb
from otel_wandb_bridge.wandb_step_fix.patch import is_patched

print(is_patched())
"""
    ended = python(code, on="1")
    assert (0, ["True"], "") == (ended.code, ended.lines, ended.err)
