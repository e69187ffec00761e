"""What is installed: versions, extras, the start-up switch, entry points."""

import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from .finding import FINE, NOTE, TROUBLE, Finding

PACKAGE = "otel-wandb-bridge"
LOWEST = {"opentelemetry-sdk": (1, 28), "wandb": (0, 18)}
_SHOWN = ("wandb", "opentelemetry-sdk", "opentelemetry-api")
_START_UP = "otel_wandb_bridge_start.pth"
EXPORTERS = "opentelemetry_metrics_exporter"


def look_at_installation() -> Iterator[Finding]:
    """Versions and parts of this Python's installation."""
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", FINE, f"{python} at {sys.executable}")
    yield Finding(PACKAGE, FINE, _version(PACKAGE) or "not installed, only on the path")
    for name in _SHOWN:
        yield _about(name)
    yield _about_entry_point()


def is_installed(name: str) -> bool:
    """Whether this Python has a distribution of that name."""
    return _version(name) is not None


def start_up_file() -> Path | None:
    """The file by which the environment alone can switch the drop-in on, where this Python reads it."""
    for folder in map(Path, sys.path):
        if folder.name in ("site-packages", "dist-packages") and (folder / _START_UP).exists():
            return folder / _START_UP
    return None


def _about(name: str) -> Finding:
    version = _version(name)
    if version is None:
        return Finding(name, TROUBLE, "not installed", f"pip install {name}")
    lowest = LOWEST.get(name)
    if lowest is not None and _numbers(version) < lowest:
        least = ".".join(map(str, lowest))
        return Finding(name, TROUBLE, f"{version} is older than {least}", f'pip install "{name}>={least}"')
    return Finding(name, FINE, version)


def _about_entry_point() -> Finding:
    found = [each.name for each in metadata.entry_points(group=EXPORTERS)]
    if "wandb" in found:
        return Finding("entry points", FINE, "OTEL_METRICS_EXPORTER=wandb is known to OpenTelemetry")
    return Finding(
        "entry points",
        NOTE,
        "OTEL_METRICS_EXPORTER=wandb is not known to OpenTelemetry here",
        f"install the package ({PACKAGE}) instead of putting it on PYTHONPATH",
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
