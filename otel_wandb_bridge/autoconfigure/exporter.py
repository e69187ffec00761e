"""The exporter as OpenTelemetry's auto-configuration and configuration files make it."""

import logging
import os
import weakref
from typing import Any

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider

from .notice import give_notice

try:
    from ..exporter import WandbMetricExporter
    from ..record import step_views
    from ..record.sdk import add_views
    from ..shared_options import DEFAULT_INTERVAL_MILLIS, INTERVAL_VARIABLE
    from ..spelling import options_of, refuse_unknown
    from ..write import Run
except Exception as error:
    give_notice("otel-wandb-bridge cannot be imported", error)
    raise

_logger = logging.getLogger("otel_wandb_bridge")
_made: "weakref.WeakSet[AutoconfiguredWandbMetricExporter]" = weakref.WeakSet()
CONFIGURATION_FILE = "OTEL_CONFIG_FILE"


class AutoconfiguredWandbMetricExporter(WandbMetricExporter):
    """The exporter of `OTEL_METRICS_EXPORTER=wandb`, and of `wandb:` under a periodic reader's `exporter:`.

    It follows `wandb.run`: it is made before the program's first line. Where neither
    `OTEL_METRIC_EXPORT_INTERVAL` nor a configuration file says how often to export, it flushes every 2
    seconds, as `configure` does, and not once a minute.

    Args:
        options: Those of `WandbMetricExporter`: the keys of the configuration file. The environment's
            (`OTEL_WANDB_HOLD`, ...) count too.

    Raises:
        TypeError, ValueError: for an option that cannot be used. It is logged, too, now and at the end of the
            program, since OpenTelemetry's start-up goes on without metrics.
    """

    def __init__(self, **options: Any) -> None:
        try:
            refuse_unknown("the exporter `wandb`", options, options_of(WandbMetricExporter))
            super().__init__(**options)
        except Exception as error:
            give_notice("the exporter `wandb` cannot be made", error)
            raise
        _made.add(self)
        if not os.environ.get(INTERVAL_VARIABLE) and not os.environ.get(CONFIGURATION_FILE):
            self.flush_every(DEFAULT_INTERVAL_MILLIS / 1e3)


def made_for(run: Run | None) -> WandbMetricExporter | None:
    """The exporter that was made here and writes `run` (None: that of `wandb.init`); None: there is none."""
    for exporter in tuple(_made):
        if not exporter._lifecycle.is_shut_down and (run is None or exporter.writes(run)):
            return exporter
    return None


def complete() -> None:
    """Give the global meter provider what an exporter that is made first cannot: step views, our counts."""
    provider, exporters = metrics.get_meter_provider(), tuple(_made)
    if not isinstance(provider, MeterProvider) or not exporters:
        return
    if not add_views(provider, step_views()):
        _logger.warning("this opentelemetry-sdk takes no views later on; steps are labels for other readers")
    for exporter in exporters:
        exporter.report_to(provider)
