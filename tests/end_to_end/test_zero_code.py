"""Programs without a line of ours, started by `opentelemetry-instrument` with its own variables."""

import json
import sys
from pathlib import Path

import pytest

INSTRUMENT = str(Path(sys.executable).with_name("opentelemetry-instrument"))
ON = {
    "OTEL_METRICS_EXPORTER": "wandb",
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*",
}

PROGRAM = """
import sys
import wandb
from opentelemetry import metrics

meter = metrics.get_meter("trainer")
loss = meter.create_gauge("loss")
tokens = meter.create_counter("tokens")


def train(steps):
    for step in steps:
        loss.set(step / 2, {"step": step})
        tokens.add(10, {"step": step})


train(range(2))
run = wandb.init(project="demo")
train(range(2, 10))
"""


@pytest.fixture
def instrumented(run_script):
    """Run the program above, and the given end of it, under `opentelemetry-instrument`."""

    def run(end="", **variables):
        return run_script(end, under=[INSTRUMENT], variables={**ON, **variables}, prologue=PROGRAM)

    return run


def assert_all_is_there(run):
    assert {step: step / 2 for step in range(10)} == run.series("loss")
    assert {step: (step + 1) * 10 for step in range(10)} == run.series("tokens")


@pytest.mark.parametrize(
    ("end", "code"),
    [("", 0), ("run.finish()", 0), ("sys.exit(3)", 3), ("1 / 0", 1)],
    ids=["script end", "finish", "sys.exit", "exception"],
)
def test_the_rows_are_complete_however_the_program_ends(instrumented, end, code):
    """Also what was recorded before `wandb.init`; the exporter was made before the program's first line."""
    ended = instrumented(end)
    assert code == ended.code
    assert_all_is_there(ended.run)
    if code == 0:
        assert "" == ended.err


def test_another_distro_may_be_in_charge(instrumented, tmp_path):
    """One that a vendor has made, with a configurator of its own."""
    (tmp_path / "vendor.py").write_text(
        "import os\n"
        "from opentelemetry.instrumentation.distro import BaseDistro\n"
        "from opentelemetry.sdk._configuration import _OTelSDKConfigurator\n"
        "class Distro(BaseDistro):\n"
        "    def _configure(self, **kwargs):\n"
        "        print('the distro of a vendor')\n"
        "        os.environ['OTEL_METRICS_EXPORTER'] = 'wandb'\n"
        "class Configurator(_OTelSDKConfigurator):\n"
        "    pass\n"
    )
    information = tmp_path / "vendor-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: vendor\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[opentelemetry_distro]\nvendor = vendor:Distro\n\n"
        "[opentelemetry_configurator]\nvendor = vendor:Configurator\n"
    )
    ended = instrumented(
        OTEL_PYTHON_DISTRO="vendor", OTEL_PYTHON_CONFIGURATOR="vendor", OTEL_METRICS_EXPORTER="none"
    )
    assert "the distro of a vendor" in ended.out
    assert_all_is_there(ended.run)


def test_an_option_that_cannot_be_used_is_said_at_the_start_and_at_the_end(instrumented):
    """The start-up swallows the error; the program goes on, and nobody would know."""
    ended = instrumented("print('trained', file=sys.stderr)", OTEL_WANDB_HOLD="soon")
    assert 0 == ended.code
    notice = (
        "the exporter `wandb` cannot be made: environment variable OTEL_WANDB_HOLD='soon': expected a "
        "number. Nothing that this program measures is written to W&B"
    )
    before, after = ended.err.split("trained")
    assert notice in before
    assert [notice] == after.strip().splitlines()


def test_a_disabled_sdk_stays_disabled(instrumented):
    """`OTEL_SDK_DISABLED=true`: no rows, and not a word of ours about it."""
    ended = instrumented(OTEL_SDK_DISABLED="true")
    assert 0 == ended.code
    assert {"SDK is disabled."} >= set(ended.err.splitlines())  # what older SDKs say themselves
    assert [] == ended.rows


def labels(printed):
    """The attributes of each series that the console exporter has printed, by instrument."""
    decoder, position, found = json.JSONDecoder(), printed.find("{"), {}
    while position >= 0:
        data, end = decoder.raw_decode(printed, position)
        for resource in data["resource_metrics"]:
            for scope in resource["scope_metrics"]:
                for metric in scope["metrics"]:
                    for point in metric["data"]["data_points"]:
                        found.setdefault(metric["name"], set()).add(frozenset(point["attributes"].items()))
        position = printed.find("{", end)
    return found


def test_other_exporters_see_no_steps(instrumented):
    """The auto-configuration has no setting for views, and gets the step views all the same."""
    ended = instrumented(OTEL_METRICS_EXPORTER="wandb,console", OTEL_SERVICE_NAME="trainer")
    assert_all_is_there(ended.run)
    series = labels(ended.out)
    assert {frozenset()} == series["loss"] == series["tokens"]
    assert 1 == len(series["otel.sdk.exporter.metric_data_point.exported"])
    assert "trainer" == ended.run.config["otel"]["resource"]["service.name"]


def test_a_meter_provider_by_its_name(run_script):
    """`OTEL_PYTHON_METER_PROVIDER=wandb` needs no `opentelemetry-instrument`; it heeds further exporters."""
    ended = run_script(
        "",
        variables={
            "OTEL_PYTHON_METER_PROVIDER": "wandb",
            "OTEL_METRICS_EXPORTER": "console",
            "OTEL_SERVICE_NAME": "trainer",
        },
        prologue=PROGRAM,
    ).ended_well()
    assert_all_is_there(ended.run)
    series = labels(ended.out)
    assert {frozenset()} == series["loss"] == series["tokens"]
    assert "trainer" == ended.run.config["otel"]["resource"]["service.name"]


def test_a_meter_provider_that_cannot_be_made_is_said_twice(run_script):
    """And the program learns of it where it asks for its first meter."""
    variables = {"OTEL_PYTHON_METER_PROVIDER": "wandb", "OTEL_METRICS_EXPORTER": "carrier_pigeon"}
    ended = run_script("", variables=variables, prologue=PROGRAM)
    assert 1 == ended.code
    notice = "the meter provider `wandb` cannot be made: OTEL_METRICS_EXPORTER names 'carrier_pigeon'"
    assert 2 == ended.err.count(notice)
    assert "opentelemetry-exporter-carrier-pigeon" in ended.err


def test_configure_takes_the_exporter_that_is_there(instrumented):
    """A program that calls `configure` all the same gets the direct lane into it, and no second exporter."""
    ended = instrumented(
        """
from otel_wandb_bridge import configure

with configure(run) as bridge:
    bridge.log({"note": "by hand"}, step=9)
    try:
        configure(hold=3)
    except ValueError as error:
        print(error)
train(range(10, 12))
"""
    ).ended_well()
    assert {step: step / 2 for step in range(12)} == ended.run.series("loss")
    assert {step: (step + 1) * 10 for step in range(12)} == ended.run.series("tokens")
    assert {9: "by hand"} == ended.run.series("note")
    assert "set OTEL_WANDB_HOLD" in ended.out


BESIDE = """
    for step in range(10, 30):
        loss.set(step / 2, {"step": step})
        wandb.log({"direct": step}, step=step)
    run.finish()
"""


def test_steps_that_wandb_log_used_up_are_named_as_the_cause(instrumented):
    """The exporter comes to the run at its first flush, when they are gone."""
    ended = instrumented(BESIDE, OTEL_METRIC_EXPORT_INTERVAL="3600000", WANDB_SILENT="false")
    assert 0 == ended.code
    (line,) = [line for line in ended.err.splitlines() if "otel-wandb-bridge: samples" in line]
    assert "wandb.log beside the bridge had used up these steps" in line
    assert "WANDB_STEP_FIX_ENABLED=true" in line


def test_with_the_drop_in_beside_it_both_are_in_the_row_of_their_step(instrumented):
    """Neither needs a line in the program."""
    ended = instrumented(BESIDE, OTEL_METRIC_EXPORT_INTERVAL="3600000", WANDB_STEP_FIX_ENABLED="true")
    assert 0 == ended.code, ended.err
    # Old instrumentations know no "*", and have their readings in a row of their own at the end.
    stepped = [row for row in ended.run.rows if "loss" in row]
    assert list(range(30)) == [row["global_step"] for row in stepped]
    rows = {row["global_step"]: row for row in stepped}
    assert all((step / 2, step) == (rows[step]["loss"], rows[step]["direct"]) for step in range(10, 30))
