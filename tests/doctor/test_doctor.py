"""What the doctor finds: each finding with its mend, and nothing where all is well."""

import pytest
from click.testing import CliRunner

from otel_wandb_bridge.cli import main
from otel_wandb_bridge.doctor.installation import look_at_installation

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
    assert "1 recorded, 1 written in 1 row, 0 waiting" in found["samples"].text
    assert found["wandb.log"].text.startswith("as W&B made it")


def test_the_drop_in_is_looked_into_before_it_ends(examine):
    """What it held for the run is counted when all is over."""
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
    assert "1 recorded, 1 written in 1 row, 0 waiting" in found["samples"].text


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


WITHOUT_A_PROVIDER = """
    import wandb
    from opentelemetry import metrics
    from otel_wandb_bridge import WandbMetricExporter, configure

    run = wandb.init(project="demo")
    {bridge}
    metrics.get_meter("trainer").create_gauge("train.loss").set(0.5)
    metrics.get_meter("trainer").create_observable_gauge("gpu.memory")
    run.finish()
    """


@pytest.mark.parametrize(
    ("bridge", "mend"),
    [
        ("", "call configure(run)"),
        ("configure(run, set_global=False)", "leave set_global=False out"),
        ("exporter = WandbMetricExporter(run)", "metrics.set_meter_provider(provider)"),
    ],
)
def test_instruments_without_a_global_provider_are_trouble(examine, bridge, mend):
    """They record nothing; each is named, with what makes a provider global here."""
    found = examine(WITHOUT_A_PROVIDER.format(bridge=bridge), code=1)["meter provider"]
    assert ("trouble", True) == (found.state, mend in found.mend)
    assert "2 instruments of metrics.get_meter() (gpu.memory, train.loss) can record nothing" in found.text


def test_a_bridge_of_its_own_provider_is_no_trouble(examine):
    """Where all instruments come from it; those of the drop-in and of the SDK itself are nobody's mistake."""
    found = examine(
        """
        import wandb
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from otel_wandb_bridge import configure
        from otel_wandb_bridge.wandb_step_fix import patch_wandb_log

        TracerProvider()
        patch_wandb_log()
        with wandb.init(project="demo") as run:
            wandb.log({"reward": 1}, step=0)
        with wandb.init(project="demo") as run:
            bridge = configure(run, set_global=False)
            bridge.meter_provider.get_meter("trainer").create_gauge("loss").set(0.5, {"step": 0})
            bridge.force_flush()
        run = wandb.init(project="demo")
        """
    )
    assert "fine" == found["meter provider"].state


def test_beside_the_drop_in_alone_instruments_that_record_nothing_are_a_note(examine):
    """They may be a library's, which nobody wants to see."""
    found = examine(
        """
        import wandb
        from opentelemetry import metrics
        from otel_wandb_bridge.wandb_step_fix import patch_wandb_log

        patch_wandb_log()
        metrics.get_meter("library").create_counter("requests")
        wandb.init(project="demo")
        wandb.log({"reward": 1}, step=0)
        """
    )["meter provider"]
    assert ("note", True) == (found.state, "1 instrument of metrics.get_meter() (requests) can" in found.text)
    assert found.mend.startswith("call configure(run)")


@pytest.mark.parametrize("end", ["", "run.finish()"])
def test_calls_that_w_and_b_threw_away_are_counted(examine, end):
    """Those of all runs of the program, also after the first; with what mends it."""
    found = examine(
        f"""
        import wandb

        with wandb.init(project="demo") as run:
            run.log({{"loss": 1}}, step=0)
        run = wandb.init(project="demo")
        for step in (5, 4, 6, 3):
            wandb.log({{"loss": 1}}, step=step)
        {end}
        """,
        code=1,
    )["thrown away"]
    assert "2 calls of log of run " in found.text
    assert ("trouble", True) == (found.state, "WANDB_STEP_FIX_ENABLED=true" in found.mend)


def test_where_nothing_was_thrown_away_nothing_is_said_of_it(examine):
    """Steps rise."""
    source = """
        import wandb

        run = wandb.init(project="demo")
        for step in range(3):
            wandb.log({"loss": 1}, step=step)
        """
    assert "thrown away" not in examine(source)


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
    assert "1 sample (step 1)" in found["rejected"].text
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
