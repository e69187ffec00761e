"""The file of `OTEL_CONFIG_FILE`: whether it is there, and asks the exporter for what it knows."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from ..exporter import WandbMetricExporter
from ..spelling import options_of, refuse_unknown
from .finding import TROUBLE, Finding

_VARIABLE = "OTEL_CONFIG_FILE"


def look_at_configuration_file(variables: Mapping[str, str]) -> Iterator[Finding]:
    """What keeps OpenTelemetry's start-up from making the exporter `wandb` of it."""
    name = variables.get(_VARIABLE, "").strip()
    if not name:
        return
    file = Path(name)
    if not file.is_file():
        mend = "correct the path, or unset the variable"
        yield Finding(_VARIABLE, TROUBLE, f"{name}: there is no such file; nothing is set up by it", mend)
        return
    try:
        yaml: Any = import_module("yaml")  # W&B brings it
    except ImportError:
        return
    try:
        for options in _asked_of_ours(yaml.safe_load(file.read_text(encoding="utf-8"))):
            refuse_unknown("the exporter `wandb`", options, options_of(WandbMetricExporter))
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        yield Finding(_VARIABLE, TROUBLE, f"{name}: {error}; nothing is set up by it", "correct the file")


def _asked_of_ours(content: Any) -> Iterator[Mapping[str, Any]]:
    """The options of each exporter `wandb`; what else is in the file is the SDK's to judge."""
    readers = _in(_in(content, "meter_provider"), "readers")
    for reader in readers if isinstance(readers, list) else ():
        options = _in(_in(_in(reader, "periodic"), "exporter"), "wandb")
        if isinstance(options, Mapping):
            yield options


def _in(content: Any, key: str) -> Any:
    return content.get(key) if isinstance(content, Mapping) else None
