"""What the doctor finds in the environment: every mistake with its mend, and no secret."""

from importlib import metadata

import pytest

from otel_wandb_bridge.doctor import environment, exporters


def about(**variables):
    """What is found of an environment, by what it is about."""
    return {each.about: each for each in environment.look_at_environment(variables)}


def test_variables_that_cannot_be_used_or_are_misspelt_are_named(monkeypatch):
    """The one as trouble, the other with what was meant; secrets are not shown."""
    monkeypatch.setenv("OTEL_WANDB_HOLD", "soon")
    monkeypatch.setenv("OTEL_WANDB_MAXPENDING", "10")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    found = {each.about: each for each in environment.look_at_environment()}
    assert "OTEL_WANDB_HOLD='soon': expected a number" in found["OTEL_WANDB_HOLD"].text
    assert "trouble" == found["OTEL_WANDB_HOLD"].state
    assert "did you mean OTEL_WANDB_MAX_PENDING?" == found["OTEL_WANDB_MAXPENDING"].mend
    assert "OTEL_EXPORTER_OTLP_HEADERS is set" in found["environment"].text
    assert "secret" not in found["environment"].text
    assert "trouble" == found["OTEL_SDK_DISABLED"].state


def test_all_variables_that_cannot_be_used_are_named_at_once():
    """Nobody mends one to hear of the next."""
    found = about(
        OTEL_WANDB_HOLD="soon",
        OTEL_WANDB_LATE="later",
        OTEL_WANDB_ENDPOINT="rank0",
        OTEL_METRIC_EXPORT_INTERVAL="often",
        WANDB_STEP_FIX_BUFFER_SIZE="large",
    )
    for name in (
        "OTEL_WANDB_HOLD",
        "OTEL_WANDB_LATE",
        "OTEL_WANDB_ENDPOINT",
        "OTEL_METRIC_EXPORT_INTERVAL",
        "WANDB_STEP_FIX_BUFFER_SIZE",
    ):
        assert ("trouble", True) == (found[name].state, name in found[name].text)


def test_variables_of_workers_and_receivers_are_known():
    """They are no options of the exporter, and no mistakes."""
    found = about(OTEL_WANDB_ENDPOINT="http://rank0:4318", OTEL_WANDB_RECEIVER_TOKEN="secret")
    assert not {"OTEL_WANDB_ENDPOINT", "OTEL_WANDB_RECEIVER_TOKEN"} & set(found)
    assert "secret" not in found["environment"].text


@pytest.mark.parametrize(
    ("value", "mend"),
    [("ture", "did you mean true?"), ("fasle", "did you mean false?"), ("7", "set it to true, or unset it")],
)
def test_a_switch_that_says_neither_yes_nor_no_is_trouble(value, mend):
    """Nothing is patched by it."""
    found = about(WANDB_STEP_FIX_ENABLED=value)["WANDB_STEP_FIX_ENABLED"]
    assert ("trouble", mend) == (found.state, found.mend)
    assert f"'{value}' is none of true, 1, yes, on, false, 0, no, off" in found.text


def test_a_misspelt_variable_of_the_drop_in_is_named():
    """As one of the exporter's is."""
    assert (
        "did you mean WANDB_STEP_FIX_ENABLED?"
        == about(WANDB_STEP_FIX_ENABLE="1")["WANDB_STEP_FIX_ENABLE"].mend
    )


def test_an_exporter_that_is_not_installed_is_trouble():
    """With those that are, and the one that was meant."""
    found = about(OTEL_METRICS_EXPORTER="console, wanbd")["OTEL_METRICS_EXPORTER"]
    assert ("trouble", "did you mean wandb?") == (found.state, found.mend)
    assert "'wanbd' is not installed; there are console, none, otlp" in found.text
    for name in ("wandb,console", "none", ""):
        assert "OTEL_METRICS_EXPORTER" not in about(OTEL_METRICS_EXPORTER=name, OTEL_TRACES_EXPORTER="none")


def test_an_otlp_exporter_that_is_not_installed_is_trouble(monkeypatch):
    """With the package that has it."""
    entry_points = metadata.entry_points
    monkeypatch.setattr(
        metadata, "entry_points", lambda **asked: () if "name" in asked else entry_points(**asked)
    )
    found = about(OTEL_METRICS_EXPORTER="otlp", OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf")
    assert "pip install opentelemetry-exporter-otlp-proto-http" == found["OTEL_METRICS_EXPORTER"].mend


def test_a_start_up_that_fails_for_the_sake_of_traces_or_logs_is_trouble(monkeypatch):
    """OpenTelemetry's own distro wants an OTLP exporter for them, and sets up nothing without it."""
    entry_points = metadata.entry_points
    monkeypatch.setattr(exporters, "is_installed", lambda name: name == "opentelemetry-distro")
    monkeypatch.setattr(
        metadata,
        "entry_points",
        lambda **asked: () if asked["group"] == "opentelemetry_logs_exporter" else entry_points(**asked),
    )
    found = about(OTEL_METRICS_EXPORTER="wandb", OTEL_TRACES_EXPORTER="none")
    assert "trouble" == found["OTEL_LOGS_EXPORTER"].state
    assert "OTEL_LOGS_EXPORTER=none" in found["OTEL_LOGS_EXPORTER"].mend
    assert "OTEL_TRACES_EXPORTER" not in found
    assert "OTEL_LOGS_EXPORTER" not in about(OTEL_METRICS_EXPORTER="wandb", OTEL_LOGS_EXPORTER="console")
    assert "OTEL_LOGS_EXPORTER" not in about(OTEL_METRICS_EXPORTER="otlp")


def test_the_switch_without_its_start_up_file_is_trouble(monkeypatch):
    """As on PYTHONPATH alone."""
    monkeypatch.setenv("WANDB_STEP_FIX_ENABLED", "true")
    monkeypatch.setattr(environment, "start_up_file", lambda: None)
    found = {each.about: each for each in environment.look_at_environment()}
    assert "trouble" == found["WANDB_STEP_FIX_ENABLED"].state


def test_a_journal_of_a_killed_run_is_pointed_at(monkeypatch, tmp_path):
    """And who completes the run; one that is in use, or of no use, too."""
    from otel_wandb_bridge.journal.file import CLEAN, RUN
    from otel_wandb_bridge.journal.tail_file import TailFile

    def found():
        return {each.about: each for each in environment.look_at_environment()}["journal"]

    path = tmp_path / "tail.journal"
    monkeypatch.setenv("OTEL_WANDB_JOURNAL", str(path))
    assert ("fine", True) == (found().state, "none yet" in found().text)
    file = TailFile(path)
    file.begin({RUN: "abc", CLEAN: False}, ["[1]"])
    assert ("fine", True) == (found().state, "a program uses it" in found().text)
    file.close()
    assert ("note", True) == (found().state, "id='abc', resume='allow'" in found().mend)
    path.write_text("dear diary, " * 100)
    assert ("note", True) == (found().state, "set aside" in found().text)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("WANDB_MODE", "offlin", "did you mean offline?"),
        ("OTEL_WANDB_RECEIVER_PORT", "99999", "0 to 65535"),
        ("OTEL_WANDB_RECEIVER_GRPC_PORT", "high", "0 to 65535"),
        ("OTEL_WANDB_RECEIVER_REORDER", "-1", "0 or more"),
        ("OTEL_WANDB_RECEIVER_MAX_BODY_BYTES", "64M", "1 or more"),
        ("OTEL_CONFIG_FILE", "nowhere.yaml", "there is no such file"),
    ],
)
def test_values_that_somebody_else_would_refuse_are_trouble(name, value, words):
    """W&B, the command `serve` and the SDK read these."""
    found = about(**{name: value})[name]
    assert ("trouble", True) == (found.state, words in f"{found.text} {found.mend}")


def test_values_that_all_take_are_no_trouble():
    """Nor is a variable that is set and empty."""
    taken = {
        "WANDB_MODE": "online",
        "OTEL_WANDB_RECEIVER_PORT": "4318",
        "OTEL_WANDB_RECEIVER_REORDER": "0.5",
        "OTEL_WANDB_RECEIVER_GRPC_PORT": "",
    }
    assert not set(taken) & set(about(**taken))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OTEL_METRICS_EXPORT_INTERVAL", "OTEL_METRIC_EXPORT_INTERVAL"),
        ("OTEL_WANB_HOLD", "OTEL_WANDB_HOLD"),
        ("OTEL_METRIC_EXPORTER", "OTEL_METRICS_EXPORTER"),
        ("WANDB_STEPFIX_ENABLED", "WANDB_STEP_FIX_ENABLED"),
    ],
)
def test_a_variable_that_is_almost_one_of_those_that_matter_is_named(name, meant):
    """Nothing reads it."""
    found = about(**{name: "1"})[name]
    assert ("note", f"did you mean {meant}?") == (found.state, found.mend)


def test_variables_of_others_are_nobodys_mistake():
    """W&B and OpenTelemetry have many more."""
    names = [
        *("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_METRIC_EXPORT_TIMEOUT", "OTEL_TRACES_EXPORTER"),
        *(
            "OTEL_LOGS_EXPORTER",
            "OTEL_PYTHON_TRACER_PROVIDER",
            "WANDB_START_METHOD",
            "OTEL_RESOURCE_ATTRIBUTES",
        ),
        *("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "WANDB_PROJECT", "OTEL_METRICS_EXEMPLAR_FILTER"),
    ]
    assert not set(names) & set(about(**dict.fromkeys(names, "1")))


FILE = """
file_format: "1.0"
meter_provider:
  readers:
    - periodic:
        exporter:
          wandb:
            hodl: 5
    - periodic:
        exporter:
          console:
"""


def test_a_configuration_file_whose_exporter_has_an_unknown_option_is_trouble(tmp_path):
    """With the one that was meant; so is one that is no YAML."""
    file = tmp_path / "otel.yaml"
    file.write_text(FILE)
    found = about(OTEL_CONFIG_FILE=str(file))["OTEL_CONFIG_FILE"]
    assert ("trouble", True) == (found.state, "'hodl'; did you mean 'hold'?" in found.text)
    for good in (FILE.replace("hodl", "hold"), FILE.replace("            hodl: 5\n", "")):
        file.write_text(good)
        assert "OTEL_CONFIG_FILE" not in about(OTEL_CONFIG_FILE=str(file))
    file.write_text("meter_provider: [")
    assert "trouble" == about(OTEL_CONFIG_FILE=str(file))["OTEL_CONFIG_FILE"].state


def test_an_exporter_that_nothing_would_make_is_trouble(monkeypatch):
    """`opentelemetry-instrument` sets up nothing without a distro, of whatever vendor."""
    entry_points = metadata.entry_points
    monkeypatch.setattr(
        metadata,
        "entry_points",
        lambda **asked: () if asked["group"] == "opentelemetry_configurator" else entry_points(**asked),
    )
    found = about(OTEL_METRICS_EXPORTER="wandb")["OTEL_METRICS_EXPORTER"]
    assert ("trouble", "pip install opentelemetry-distro") == (found.state, found.mend)
    by_api = about(OTEL_METRICS_EXPORTER="wandb", OTEL_PYTHON_METER_PROVIDER="wandb")
    assert "OTEL_METRICS_EXPORTER" not in by_api
