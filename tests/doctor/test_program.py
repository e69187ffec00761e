"""A program is judged when all that it recorded was written."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
from click.testing import CliRunner

from otel_wandb_bridge.cli import main

RUN = "from otel_wandb_bridge.cli import main; main()"


LOSES = """
    import wandb
    from otel_wandb_bridge import configure

    run = wandb.init(project="demo")
    bridge = configure(run)
    loss = bridge.meter_provider.get_meter("trainer").create_gauge("loss")
    {loss}
    """


@pytest.mark.parametrize(
    ("loss", "about", "text"),
    [
        ("bridge.log({'image': object()}, step=0)", "rejected", "1 sample (unwritable 1)"),
        ("bridge.log({'loss': 1}, step=-3)", "rejected", "1 sample (step 1)"),
        ("loss.set(1, {'step': 'four'})", "rejected", "1 sample (step 1)"),
        ("run.finish(); bridge.log({'loss': 1}, step=0)", "rejected", "1 sample (finished 1)"),
    ],
)
def test_what_the_last_flush_rejects_is_trouble(examine, loss, about, text):
    """The program is judged after everything that it recorded was written, as at its end."""
    found = examine(LOSES.format(loss=loss), code=1)
    assert ("trouble", text) == (found[about].state, found[about].text)
    assert "0 waiting" in found["samples"].text


def test_a_late_sample_that_its_policy_drops_is_trouble(examine):
    """It is lost, whoever asked for it."""
    found = examine(
        """
        import wandb
        from otel_wandb_bridge import configure

        bridge = configure(wandb.init(project="demo"), late="drop")
        bridge.log({"loss": 1}, step=5)
        bridge.force_flush()
        bridge.log({"loss": 1}, step=2)
        """,
        code=1,
    )
    assert ("trouble", "late='keep'") == (found["dropped"].state, found["dropped"].mend)


def test_samples_that_no_run_was_there_for_are_trouble(examine):
    """They wait for `wandb.init`, and the end of the program gives them up."""
    found = examine(
        """
        from otel_wandb_bridge import configure

        configure().log({"loss": 1}, step=0)
        """,
        code=1,
    )
    assert ("trouble", "1 sample that no run was there for") == (found["left"].state, found["left"].text)
    assert "wandb.init" in found["left"].mend


def test_what_the_last_flush_finds_of_other_writers_and_leaps_is_noted(examine):
    """Each with its mend; nothing is lost."""
    found = examine(
        """
        import wandb
        from otel_wandb_bridge import configure

        bridge = configure(wandb.init(project="demo"))
        for step in range(3):
            bridge.log({"loss": 1}, step=step)
            wandb.log({"beside": 1})
        bridge.log({"loss": 1}, step=1732450000)
        """
    )
    assert ("note", True) == (found["foreign steps"].state, "Bridge.log" in found["foreign steps"].mend)
    assert ("note", True) == (found["step leaps"].state, "max_step_jump" in found["step leaps"].mend)


def test_a_bridge_of_a_function_is_judged_when_the_function_is_over(examine):
    """It was shut down, and nobody but the doctor holds on to it."""
    found = examine(
        """
        import wandb
        from otel_wandb_bridge import configure

        def train():
            with wandb.init(project="demo") as run, configure(run, set_global=False) as bridge:
                bridge.log({"loss": 1}, step=-3)

        train()
        """,
        code=1,
    )
    assert "1 sample (step 1)" == found["rejected"].text


def test_a_bridge_for_the_second_run_is_found(examine):
    """What is set up is looked at again, as long as there was no bridge."""
    found = examine(
        """
        import wandb
        from otel_wandb_bridge import configure

        wandb.init(project="demo").finish()
        with wandb.init(project="demo") as run:
            configure(run).log({"loss": 1}, step=0)
        """
    )
    assert found["run"].text.endswith("the bridge writes it")


def test_json_stands_alone_on_stdout(tmp_path):
    """What the script, its children and W&B print goes to stderr."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import os
            import subprocess
            import sys

            import wandb

            print("from the script")
            os.write(1, b"from below\\n")
            subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
            wandb.init(project="demo")
            """
        )
    )
    done = subprocess.run(
        [sys.executable, "-c", RUN, "doctor", "--json", str(script)],
        cwd=tmp_path,
        env={**os.environ, "WANDB_MODE": "offline", "WANDB_SILENT": "false"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "samples" not in {each["about"] for each in json.loads(done.stdout)}
    for line in ("from the script", "from below", "from a child", "wandb sync"):
        assert line in done.stderr


def test_options_after_the_script_are_the_scripts():
    """The help says so."""
    assert "[OPTIONS] [SCRIPT] [ARGUMENTS]..." in CliRunner().invoke(main, ["doctor", "--help"]).output
    assert "before the SCRIPT" in " ".join(CliRunner().invoke(main, ["doctor", "--help"]).output.split())


@pytest.mark.parametrize(
    "crash",
    [
        "configure(run, hlod=3)",
        "run.finish(); configure(run)",
    ],
)
def test_of_a_program_that_failed_before_there_was_a_bridge_only_that_is_said(examine, crash):
    """That no bridge writes the run is no news, and to call configure no mend."""
    found = examine(
        f"""
        import wandb
        from otel_wandb_bridge import configure

        run = wandb.init(project="demo")
        {crash}
        """,
        code=1,
    )
    assert "trouble" == found["program"].state
    assert not {"run", "meter provider"} & set(found)


def test_the_traceback_of_a_program_begins_in_the_program(tmp_path):
    """As Python's does."""
    script = tmp_path / "script.py"
    script.write_text("def fail():\n    1 / 0\nfail()\n")
    result = subprocess.run(
        [sys.executable, "-c", RUN, "doctor", str(script)], capture_output=True, text=True, timeout=120
    )
    first = result.stderr[result.stderr.index("Traceback") :].splitlines()[1]
    assert f'  File "{script}", line 3, in <module>' == first


def test_a_program_that_opentelemetry_starts_is_looked_into_under_its_start_up(examine):
    """The doctor does not start it by itself, and says how it is done."""
    found = examine(
        """
        import wandb
        from opentelemetry import metrics

        metrics.get_meter("trainer").create_gauge("loss")
        wandb.init(project="demo")
        """,
        code=1,
        OTEL_METRICS_EXPORTER="wandb",
        OTEL_TRACES_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
    )
    assert found["meter provider"].mend.startswith("opentelemetry-instrument otel-wandb doctor train.py")


def test_readings_that_nobody_misses_are_no_trouble(examine):
    """An observable is read again and again, also when its run is over."""
    found = examine(
        """
        import wandb
        from opentelemetry.metrics import Observation
        from otel_wandb_bridge import configure

        with wandb.init(project="demo") as run:
            bridge = configure(run)
            meter = bridge.meter_provider.get_meter("trainer")
            meter.create_observable_gauge("memory", [lambda _: [Observation(1)]])
            bridge.log({"loss": 1}, step=0)
        """
    )
    assert "fine" == found["samples"].state
    assert "rejected" not in found
