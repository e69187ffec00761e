"""Whether the exporters that OpenTelemetry's own start-up is to make are installed."""

from collections.abc import Iterator, Mapping
from importlib import metadata

from ..spelling import meant
from .finding import TROUBLE, Finding
from .installation import EXPORTERS, PACKAGE, is_installed

_METRICS = "OTEL_METRICS_EXPORTER"
_METER_PROVIDER = "OTEL_PYTHON_METER_PROVIDER"


def look_at_exporters(variables: Mapping[str, str]) -> Iterator[Finding]:
    """Those that the environment names. Where one of them is missing, the start-up sets up nothing."""
    names = [name.strip() for name in variables.get(_METRICS, "").split(",") if name.strip()]
    installed = sorted({each.name for each in metadata.entry_points(group=EXPORTERS)})
    for name in names:
        if name == "otlp":
            yield from _about_otlp("metrics", variables)
        elif name != "none" and name not in installed:
            known = sorted({*installed, "none", "otlp"})
            text = f"{name!r} is not installed; there are {', '.join(known)}. Nothing is set up by it"
            yield Finding(_METRICS, TROUBLE, text, _mend(name, known))
    if "wandb" in names and variables.get(_METER_PROVIDER, "").strip() != "wandb":
        yield from _about_configurator()
    # `opentelemetry-distro` has traces and logs exported by OTLP where nobody says otherwise.
    if "wandb" in names and is_installed("opentelemetry-distro"):
        for signal in ("traces", "logs"):
            if "otlp" in variables.get(f"OTEL_{signal.upper()}_EXPORTER", "otlp").split(","):
                yield from _about_otlp(signal, variables)


def _about_configurator() -> Iterator[Finding]:
    if not metadata.entry_points(group="opentelemetry_configurator"):
        text = "no distro is installed: opentelemetry-instrument sets up nothing by it"
        yield Finding(_METRICS, TROUBLE, text, "pip install opentelemetry-distro")


def _mend(name: str, known: list[str]) -> str:
    if name == "wandb":
        return f"install the package ({PACKAGE}) instead of putting it on PYTHONPATH"
    close = meant(name, known)
    return f"did you mean {close}?" if close else "name one of these, or install the one that is missing"


def _about_otlp(signal: str, variables: Mapping[str, str]) -> Iterator[Finding]:
    protocol = variables.get("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    protocol = variables.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", protocol)
    exporter = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
    if not metadata.entry_points(group=f"opentelemetry_{signal}_exporter", name=exporter):
        variable = f"OTEL_{signal.upper()}_EXPORTER"
        text = f"{signal} go to {exporter}, which is not installed: opentelemetry-instrument sets up nothing"
        package = f"opentelemetry-exporter-{exporter.replace('_', '-')}"
        mend = (
            f"pip install {package}"
            if signal == "metrics"
            else f'{variable}=none, or pip install "opentelemetry-distro[otlp]"'
        )
        yield Finding(variable, TROUBLE, text, mend)
