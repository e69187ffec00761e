"""Which variables are set, and whether they can be used."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ..autostart import NO, YES
from ..autostart import VARIABLE as SWITCH
from ..options import unusable
from ..shared_options import (
    ENDPOINT_VARIABLE,
    INTERVAL_VARIABLE,
    PREFIX,
    endpoint_of_environment,
    interval_millis,
)
from ..spelling import meant
from ..variables import known, unknown
from .configuration_file import look_at_configuration_file
from .exporters import look_at_exporters
from .finding import FINE, NOTE, TROUBLE, Finding
from .installation import start_up_file
from .near_misses import look_at_near_misses
from .values import look_at_values

_DROP_IN = "WANDB_STEP_FIX_"
_OF_THE_DROP_IN = (SWITCH, f"{_DROP_IN}BUFFER_SIZE", f"{_DROP_IN}FLUSH_INTERVAL")
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
_FAMILIES = ("OTEL_", _DROP_IN)


def look_at_environment(environment: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """The variables that matter here. Values that may be secrets are not shown.

    Args:
        environment: By default that of this process.
    """
    variables = os.environ if environment is None else environment
    seen = sorted(name for name in variables if name in _SHOWN or name.startswith(_FAMILIES))
    text = ", ".join(_shown(name, variables[name]) for name in seen)
    yield Finding("environment", FINE, text or "no variable of OpenTelemetry's or the bridge's is set")
    yield from _unknown(variables)
    for name, text in _unusable(variables).items():
        yield Finding(name, TROUBLE, text, "correct the variable, or unset it")
    if variables.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        text = "OTEL_SDK_DISABLED=true: instruments record nothing; Bridge.log and wandb.log still arrive"
        yield Finding("OTEL_SDK_DISABLED", TROUBLE, text, "unset it")
    mode = variables.get("WANDB_MODE", "").strip().lower()
    if mode in ("disabled", "dryrun"):
        yield Finding("WANDB_MODE", NOTE, f"{mode}: W&B keeps nothing", "unset it, or set it to offline")
    journal = variables.get(PREFIX + "JOURNAL", "").strip()
    if journal:
        yield _about_journal(Path(journal))
    yield from look_at_values(variables)
    yield from look_at_exporters(variables)
    yield from look_at_configuration_file(variables)
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


def _unknown(variables: Mapping[str, str]) -> Iterator[Finding]:
    for name, hint in unknown(variables).items():
        yield Finding(name, NOTE, "nothing of the bridge reads this variable", hint)
    for name in sorted(variables):
        if name.startswith(_DROP_IN) and name not in _OF_THE_DROP_IN:
            close = meant(name, _OF_THE_DROP_IN)
            hint = f"did you mean {close}?" if close else f"known are {', '.join(_OF_THE_DROP_IN)}"
            yield Finding(name, NOTE, "nothing of the drop-in reads this variable", hint)
    matter = {name for name in _SHOWN if name.startswith("OTEL_")}
    yield from look_at_near_misses(
        {name: "" for name in variables if not name.startswith((PREFIX, _DROP_IN))},
        {*matter, *known(), *_OF_THE_DROP_IN},
    )


def _unusable(variables: Mapping[str, str]) -> dict[str, str]:
    """By name, all that cannot be used, with what is wrong."""
    wrong = unusable(variables)
    for name, read in _READERS.items():
        if variables.get(name, "").strip():
            try:
                read({name: variables[name]})
            except ValueError as error:
                wrong[name] = str(error)
    return wrong


def _read_of_the_drop_in(variables: Mapping[str, str]) -> object:
    from ..wandb_step_fix.environment import options_in_environment

    return options_in_environment(variables)


_READERS: dict[str, Callable[[Mapping[str, str]], object]] = {
    ENDPOINT_VARIABLE: endpoint_of_environment,
    INTERVAL_VARIABLE: lambda variables: interval_millis(None, variables),
    f"{_DROP_IN}BUFFER_SIZE": _read_of_the_drop_in,
    f"{_DROP_IN}FLUSH_INTERVAL": _read_of_the_drop_in,
}
"""What is read besides the options of the exporter."""


def _about_switch(variables: Mapping[str, str]) -> Finding:
    value = variables.get(SWITCH, "").strip().lower()
    if value in ("", *NO):
        return Finding(
            SWITCH, FINE, f"{value or 'not set'}: wandb.log is as W&B made it, unless a program patches it"
        )
    if value not in YES:
        close = meant(value, (*YES, *NO))
        mend = f"did you mean {close}?" if close else "set it to true, or unset it"
        text = f"{value!r} is none of {', '.join((*YES, *NO))}: nothing is patched by it"
        return Finding(SWITCH, TROUBLE, text, mend)
    file = start_up_file()
    if file is None:
        text = "it is set, but this Python reads no start-up file of the package: nothing is patched by it"
        return Finding(SWITCH, TROUBLE, text, "pip install the package here (PYTHONPATH is not enough)")
    return Finding(SWITCH, FINE, f"set: {file.name} patches wandb.log in every program of this Python")


def _shown(name: str, value: str) -> str:
    is_shown = name in _SHOWN or name.startswith((PREFIX, _DROP_IN))
    return f"{name}={value}" if is_shown and "TOKEN" not in name else f"{name} is set"
