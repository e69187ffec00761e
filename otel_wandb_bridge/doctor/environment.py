"""Which variables are set, and whether they can be used."""

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib import metadata
from pathlib import Path

from ..options import known_options, resolve
from ..shared_options import PREFIX
from .finding import FINE, NOTE, TROUBLE, Finding
from .installation import is_installed, start_up_file

SWITCH = "WANDB_STEP_FIX_ENABLED"
_YES = ("true", "1", "yes", "on")
_SHOWN = frozenset(
    (
        "OTEL_METRICS_EXPORTER",
        "OTEL_METRIC_EXPORT_INTERVAL",
        "OTEL_METER_PROVIDER",
        "OTEL_PYTHON_METER_PROVIDER",
        "OTEL_PYTHON_DISTRO",
        "OTEL_PYTHON_CONFIGURATOR",
        "OTEL_SDK_DISABLED",
        "OTEL_SERVICE_NAME",
        "OTEL_CONFIG_FILE",
        "WANDB_MODE",
        "WANDB_SILENT",
        "WANDB_DIR",
        "WANDB_RESUME",
    )
)
_FAMILIES = ("OTEL_", "WANDB_STEP_FIX_")


def look_at_environment(environment: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """The variables that matter here. Values that may be secrets are not shown.

    Args:
        environment: By default that of this process.
    """
    variables = os.environ if environment is None else environment
    seen = sorted(name for name in variables if name in _SHOWN or name.startswith(_FAMILIES))
    text = ", ".join(_shown(name, variables[name]) for name in seen)
    yield Finding("environment", FINE, text or "no variable of OpenTelemetry's or the bridge's is set")
    yield from _unknown(seen)
    try:
        resolve()
    except (TypeError, ValueError) as error:
        yield Finding("options", TROUBLE, str(error), "correct the variable, or unset it")
    if variables.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        text = "OTEL_SDK_DISABLED=true: instruments record nothing; Bridge.log and wandb.log still arrive"
        yield Finding("OTEL_SDK_DISABLED", TROUBLE, text, "unset it")
    mode = variables.get("WANDB_MODE", "").strip().lower()
    if mode in ("disabled", "dryrun"):
        yield Finding("WANDB_MODE", NOTE, f"{mode}: W&B keeps nothing", "unset it, or set it to offline")
    journal = variables.get(PREFIX + "JOURNAL", "").strip()
    if journal:
        yield _about_journal(Path(journal))
    yield from _about_other_signals(variables)
    yield _about_switch(variables)


def _about_journal(path: Path) -> Finding:
    from ..journal.file import JournalBusy, JournalError, NotAJournal
    from ..journal.tail_file import unfinished_run

    if not path.exists():
        return Finding("journal", FINE, f"{path}: there is none yet")
    try:
        run = unfinished_run(path)
    except JournalBusy:
        return Finding("journal", FINE, f"{path}: a program uses it")
    except NotAJournal as error:
        return Finding("journal", NOTE, f"{error}; it will be set aside", "another file")
    except JournalError as error:
        return Finding("journal", TROUBLE, str(error), "another place")
    if run is None:
        return Finding("journal", FINE, f"{path}: its run has all of it")
    mend = f"wandb.init(id={run!r}, resume='allow') completes it"
    return Finding("journal", NOTE, f"{path}: it holds what run {run!r} may lack", mend)


def _about_other_signals(variables: Mapping[str, str]) -> Iterator[Finding]:
    """Whether `opentelemetry-instrument` would fail for the sake of traces or logs.

    `opentelemetry-distro` has them exported by OTLP where nobody says otherwise, and sets up nothing, metrics
    neither, where that exporter is not installed.
    """
    exporters = variables.get("OTEL_METRICS_EXPORTER", "").split(",")
    if "wandb" not in map(str.strip, exporters) or not is_installed("opentelemetry-distro"):
        return
    for signal in ("traces", "logs"):
        variable = f"OTEL_{signal.upper()}_EXPORTER"
        if "otlp" not in variables.get(variable, "otlp").split(","):
            continue
        protocol = variables.get("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        protocol = variables.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", protocol)
        exporter = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
        if not metadata.entry_points(group=f"opentelemetry_{signal}_exporter", name=exporter):
            text = (
                f"{signal} go to {exporter}, which is not installed: opentelemetry-instrument sets up nothing"
            )
            mend = f'{variable}=none, or pip install "opentelemetry-distro[otlp]"'
            yield Finding(variable, TROUBLE, text, mend)


def _unknown(names: list[str]) -> Iterator[Finding]:
    options = {PREFIX + name.upper() for name in known_options()}
    for name in names:
        if name.startswith(PREFIX) and name not in options:
            close = get_close_matches(name, sorted(options), 1)
            mend = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(options))}"
            yield Finding(name, NOTE, "no option of the exporter has this variable", mend)


def _about_switch(variables: Mapping[str, str]) -> Finding:
    is_on = variables.get(SWITCH, "").strip().lower() in _YES
    file = start_up_file()
    if not is_on:
        return Finding(SWITCH, FINE, "not set: wandb.log is as W&B made it, unless a program patches it")
    if file is None:
        text = "it is set, but this Python reads no start-up file of the package: nothing is patched by it"
        return Finding(SWITCH, TROUBLE, text, "pip install the package here (PYTHONPATH is not enough)")
    return Finding(SWITCH, FINE, f"set: {file.name} patches wandb.log in every program of this Python")


def _shown(name: str, value: str) -> str:
    return (
        f"{name}={value}"
        if name in _SHOWN or name.startswith((PREFIX, "WANDB_STEP_FIX_"))
        else f"{name} is set"
    )
