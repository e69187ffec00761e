"""What the doctor finds: each finding with its mend, and nothing where all is well."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
from click.testing import CliRunner

from otel_wandb_bridge.cli import main
from otel_wandb_bridge.doctor import Finding
from otel_wandb_bridge.doctor.installation import look_at_installation


@pytest.fixture
def examine(tmp_path):
    """Findings of `otel-wandb doctor SCRIPT`, by what they are about."""

    def examine(source, code=0, **variables):
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(source))
        done = subprocess.run(
            [sys.executable, "-c", RUN, "doctor", "--json", str(script), "--lr", "1"],
            cwd=tmp_path,
            env={**os.environ, "WANDB_MODE": "offline", "WANDB_SILENT": "true", **variables},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert code == done.returncode, done.stderr + done.stdout
        found = {}
        # After it comes what wandb 0.18 has to say at the end of a program, silent or not.
        findings, _ = json.JSONDecoder().raw_decode(done.stdout, done.stdout.index("[\n"))
        for each in findings:
            found.setdefault(each["about"], Finding(**each))
        return found

    return examine


RUN = "from otel_wandb_bridge.cli import main; main()"

WELL = """
    import sys
    import wandb
    from opentelemetry import metrics
    from otel_wandb_bridge import configure

    assert sys.argv[1:] == ["--lr", "1"]
    run = wandb.init(project="demo")
    configure(run)
    metrics.get_meter("trainer").create_gauge("loss").set(0.5, {"step": 0})
    run.finish()
    """


def test_a_program_that_is_set_up_well_has_no_trouble(examine):
    """The bridge reads the global provider, the views are in place, the run is written."""
    found = examine(WELL)
    assert not [each for each in found.values() if each.state == "trouble"]
    assert "has the bridge among its readers" in found["meter provider"].text
    assert "in place" in found["step views"].text
    assert found["run"].text.endswith("mode offline; the bridge writes it")
    assert "1 recorded, 0 written in 0 rows, 1 waiting" in found["samples"].text
    assert found["wandb.log"].text.startswith("as W&B made it")


def test_the_drop_in_is_looked_into_before_it_ends(examine):
    """What it holds for the run still waits then."""
    found = examine(
        """
        import wandb
        from otel_wandb_bridge.wandb_step_fix import patch_wandb_log

        patch_wandb_log()
        wandb.init(project="demo")
        wandb.log({"loss": 0.5}, step=0)
        wandb.finish()
        """
    )
    assert "patched by wandb_step_fix" in found["wandb.log"].text
    assert found["run"].text.endswith("mode offline; the bridge writes it")
    assert "1 recorded, 0 written in 0 rows, 1 waiting" in found["samples"].text


def test_a_provider_without_the_bridge_is_trouble(examine):
    """Its instruments end elsewhere; exit code 1."""
    found = examine(
        """
        import wandb
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics import MeterProvider

        metrics.set_meter_provider(MeterProvider())
        wandb.init(project="demo")
        """,
        code=1,
    )
    assert ("trouble", True) == (
        found["meter provider"].state,
        "configure(run)" in found["meter provider"].mend,
    )
    assert "no bridge writes it" in found["run"].text


def test_views_that_are_missing_from_somebody_elses_provider_are_named(examine):
    """With where they belong."""
    found = examine(
        """
        import wandb
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from otel_wandb_bridge import WandbMetricExporter

        run = wandb.init(project="demo")
        metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(WandbMetricExporter(run))]))
        """
    )
    assert ("note", True) == (found["step views"].state, "views=step_views()" in found["step views"].mend)


def test_who_has_patched_wandb_log_is_named(examine):
    """The drop-in as ours; somebody else's with the place where it was made."""
    ours = examine(
        """
        import wandb
        from otel_wandb_bridge.wandb_step_fix import patch_wandb_log

        patch_wandb_log()
        run = wandb.init(project="demo")
        run.log({"loss": 1}, step=0)
        """
    )
    assert "patched by wandb_step_fix" in ours["wandb.log"].text
    theirs = examine(
        """
        import wandb

        run = wandb.init(project="demo")

        def quiet_log(*args, **kwargs):
            return None

        wandb.log = quiet_log
        """
    )
    assert "patched by __main__.quiet_log (" in theirs["wandb.log"].text
    assert "script.py:6, on wandb.log)" in theirs["wandb.log"].text


def test_what_was_lost_or_late_is_named_with_its_mend(examine):
    """By reason and by source."""
    found = examine(
        """
        import wandb
        from otel_wandb_bridge import configure

        bridge = configure(wandb.init(project="demo"))
        bridge.log({"loss": 1}, step=5)
        bridge.force_flush()
        bridge.log({"loss": 1}, step=2, source="slow")
        bridge.log({"loss": 1}, step="soon")
        bridge.force_flush()
        """,
        code=1,
    )
    assert "1 samples (step 1)" in found["rejected"].text
    assert ("(slow 1)" in found["late"].text, "raise hold" in found["late"].mend) == (True, True)


def test_a_program_that_fails_is_looked_into_all_the_same(examine):
    """Its traceback is printed, and the exit code is 1."""
    assert "ZeroDivisionError" in examine("1 / 0", code=1)["program"].text
    assert "exit code 3" in examine("raise SystemExit(3)", code=1)["program"].text


def test_versions_are_told_and_old_ones_named(monkeypatch):
    """With the command that mends it."""
    from otel_wandb_bridge.doctor import installation

    assert not [each for each in look_at_installation() if each.state == "trouble"]
    monkeypatch.setattr(installation.metadata, "version", lambda name: "0.9.1")
    found = {each.about: each for each in look_at_installation()}
    assert ("trouble", 'pip install "wandb>=0.18"') == (found["wandb"].state, found["wandb"].mend)


def test_without_a_script_it_looks_at_installation_and_environment():
    """In words, with exit code 0."""
    result = CliRunner().invoke(main, ["doctor"])
    assert 0 == result.exit_code, result.output
    for word in ("opentelemetry-sdk", "environment", "WANDB_STEP_FIX_ENABLED", "fine"):
        assert word in result.output
