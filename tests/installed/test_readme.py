"""Every command of the README, copied from there, and run where nothing is but what it has installed."""

import json
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(900)

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.M | re.S)
PROGRAMS = [
    program
    for program in re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)
    if "otel_wandb_bridge.adapters" not in program  # tests/frameworks runs these
]
INLINE = sorted(set(re.findall(r"`((?:pip|uv|make|otel-wandb|python) [^`]+)`", README)))


def facts_of(run):
    """What `inspect` says of the latest run."""
    done = run("otel-wandb inspect --json")
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


def ended_well(done):
    assert 0 == done.returncode, done.stdout + done.stderr
    return done


def demo(block, run):
    output = ended_well(run(block)).stdout  # with another exit code where the bridge has lost anything
    assert "scalars lost" in output


def install(block, run):
    assert "otel-wandb, version" in ended_well(run(f"{block}\notel-wandb --version")).stdout


def drop_in(block, run):
    ended_well(run(block))
    facts = facts_of(run)
    assert (8, 4) == (facts["rows"], facts["keys"]["eval/accuracy"])
    assert (0, 0) == (facts["late_rows"], facts["dropped_by_wandb"])


def instrument(block, run):
    ended_well(run(block))
    facts = facts_of(run)
    assert (8, ["trainer"]) == (facts["keys"]["lr"], list(facts["sources"]))


def inspect(block, run):
    ended_well(run("WANDB_STEP_FIX_ENABLED=true python train.py"))
    output = ended_well(run(block)).stdout
    assert 2 == output.count("eval/accuracy")
    assert output.endswith("one row a step, in rising order\n")


def doctor(block, run):
    done = run(block)  # of a job that loses values both ways
    assert 1 == done.returncode
    assert 2 == len(re.findall(r"^fine +otel-wandb-bridge +\d", done.stdout, re.M))
    assert ["meter provider", "thrown away"] == re.findall(r"^trouble +(\w+ \w+)", done.stdout, re.M)
    ended_well(run(block, WANDB_STEP_FIX_ENABLED="true"))


def make_test(block, run):
    ended_well(run(block, directory=ROOT, ARGS="tests/testing/test_fake_clock.py"))


TRIALS = {
    'pip install "otel-wandb-bridge[demo]"': demo,
    "pip install otel-wandb-bridge": install,
    "WANDB_STEP_FIX_ENABLED=true python train.py": drop_in,
    "pip install opentelemetry-distro": instrument,
    "otel-wandb inspect": inspect,
    "otel-wandb doctor": doctor,
    "make test": make_test,
}
"""By the first line of a block: what it promises."""


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_a_block_of_commands_does_what_it_says(block, run):
    """As it stands there; of `make test`, which CI runs whole, some tests."""
    TRIALS[block.splitlines()[0]](block, run)


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_a_program_runs_with_the_package_alone(program, run, tmp_path):
    """No part of the tests' environment is needed."""
    (tmp_path / "program.py").write_text(program)
    done = run("python program.py")
    assert (0, "") == (done.returncode, done.stderr)


def test_uv_installs_it_too(uv_run, tmp_path):
    """Into an empty environment of its own, in which the ten lines and the demo run."""
    assert "uv pip install otel-wandb-bridge" in INLINE
    ended_well(uv_run("uv pip install otel-wandb-bridge"))
    (tmp_path / "program.py").write_text(PROGRAMS[0])
    assert "rows=100" in ended_well(uv_run("python program.py")).stdout
    ended_well(uv_run('uv pip install "otel-wandb-bridge[demo]" && otel-wandb demo --steps 30 --no-plot'))
    ended_well(uv_run("uv pip check"))


def test_a_checkout_can_be_installed_and_shows_the_demo(run, tmp_path):
    """By the commands that the text names for it."""
    assert {"pip install .", "pip install '.[inspect]'", "make demo"} <= {*INLINE}
    ended_well(run("make demo", directory=ROOT, ARGS=f"--steps 20 --no-plot --dir {tmp_path}"))
    ended_well(run("pip install . && otel-wandb --version", directory=ROOT, PIP_CONSTRAINT=os.devnull))
    ended_well(run("pip install '.[inspect]'", directory=ROOT, PIP_CONSTRAINT=os.devnull))
    assert "yes" in ended_well(run("python -c 'import matplotlib, sparklines; print(\"yes\")'")).stdout


def test_the_tests_that_take_their_time_are_found(run):
    """CI runs them whole."""
    assert "make test-long" in INLINE
    ended_well(run("make test-long", directory=ROOT, ARGS="--collect-only --quiet"))


def test_no_command_is_left_out():
    """Neither of a block nor of the text: those tried above, and names of commands that a block has."""
    assert [*TRIALS] == [block.splitlines()[0] for block in BLOCKS]
    tried = {
        "uv pip install otel-wandb-bridge",
        "pip install .",
        "pip install '.[inspect]'",
        "make demo",
        "make test-long",
    }
    lines = {line for block in BLOCKS for line in block.splitlines()}
    assert set() == {*INLINE} - tried - lines
