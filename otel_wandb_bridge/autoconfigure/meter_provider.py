"""A whole meter provider by one variable, for programs that `opentelemetry-instrument` does not start."""

import os
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.util._importlib_metadata import entry_points

from ..record import step_views
from .exporter import AutoconfiguredWandbMetricExporter
from .notice import give_notice

_GROUP = "opentelemetry_metrics_exporter"
_PROTOCOLS = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}


def meter_provider() -> MeterProvider:
    """The provider of `OTEL_PYTHON_METER_PROVIDER=wandb`.

    It has the step views, a reader that writes to the run of `wandb.init`, and one for each further exporter
    that `OTEL_METRICS_EXPORTER` names. The API makes it when the program first asks for a meter.

    Raises:
        ValueError: for an exporter that is not installed. It is logged, too.
    """
    exporter = AutoconfiguredWandbMetricExporter()
    try:
        others = [_reader(name) for name in _names() if name not in ("wandb", "none")]
    except Exception as error:
        give_notice("the meter provider `wandb` cannot be made", error)
        raise
    provider = MeterProvider([PeriodicExportingMetricReader(exporter), *others], views=step_views())
    exporter.report_to(provider)
    return provider


def _names() -> list[str]:
    names = os.environ.get("OTEL_METRICS_EXPORTER", "").split(",")
    return [name.strip() for name in names if name.strip()]


def _reader(name: str) -> MetricReader:
    if name == "otlp":
        said = os.environ.get("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL") or os.environ.get(
            "OTEL_EXPORTER_OTLP_PROTOCOL"
        )
        name = _PROTOCOLS.get((said or "grpc").strip(), name)
    found = next(iter(entry_points(group=_GROUP, name=name)), None)
    if found is None:
        raise ValueError(
            f"OTEL_METRICS_EXPORTER names {name!r}, which is not installed; expected is an entry point of "
            f"{_GROUP}, such as that of the package opentelemetry-exporter-{name.replace('_', '-')}"
        )
    made: Any = found.load()()
    return made if isinstance(made, MetricReader) else PeriodicExportingMetricReader(made)
