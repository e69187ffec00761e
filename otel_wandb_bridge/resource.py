"""The run as attributes of an OpenTelemetry resource, so that a trace, a log or a metric leads to it."""

import logging
import weakref
from typing import Any

from opentelemetry import _logs, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.resources import Resource

from .record.sdk import resource_of, update_resource
from .write import Run, active_run

_logger = logging.getLogger("otel_wandb_bridge")
_told: "weakref.WeakKeyDictionary[object, dict[str, Any]]" = weakref.WeakKeyDictionary()
_ATTRIBUTES = {
    "wandb.run.id": "id",
    "wandb.run.url": "url",
    "wandb.project": "project",
    "wandb.entity": "entity",
}


def run_resource(run: Run | None = None) -> Resource:
    """What leads to a run: `wandb.run.id`, `wandb.run.url`, `wandb.project` and `wandb.entity`.

        resource = Resource.create().merge(run_resource(run))
        TracerProvider(resource=resource)

    `configure` does it for the provider that it makes or joins; this is for providers of your own.

    Args:
        run: By default that of `wandb.init`.

    Returns:
        A resource with those of the four that the run has (an offline run has no URL); an empty one without
        a run.
    """
    run = active_run() if run is None else run
    attributes: dict[str, Any] = {}
    for attribute, name in _ATTRIBUTES.items():
        if name == "url" and getattr(run, "offline", False):
            continue  # W&B warns whoever asks
        value = getattr(run, name, None)
        if isinstance(value, str) and value:
            attributes[attribute] = value
    return Resource(attributes)


def described(metrics_data: MetricsData) -> dict[str, Any]:
    """The attributes of the resource as a run's config takes them, less what the run knows of itself."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for resource_metrics in metrics_data.resource_metrics
        for name, value in resource_metrics.resource.attributes.items()
        if name not in _ATTRIBUTES and not isinstance(value, bytes)
    }


class Announcer:
    """Tells the providers of each new run of an exporter.

    Thread-safety: none needed: to tell twice does no harm.
    """

    def __init__(self) -> None:
        self.provider: MeterProvider | None = None
        """The meter provider that the exporter reports to; None: nobody is told."""
        self._told_of: Run | None = None

    def tell_of(self, run: Run | None) -> None:
        """Tell of the run that is written now. It takes locks of the SDK: hold none of ours around it."""
        if run is not None and run is not self._told_of and self.provider is not None:
            self._told_of = run
            tell_providers(run, self.provider)


def tell_providers(run: Run, meter_provider: MeterProvider) -> None:
    """Put the run into the resources of a meter provider, and of the process's tracer and logger providers.

    For providers that were there before the run. Never raises.
    """
    attributes = dict(run_resource(run).attributes)
    for provider in (meter_provider, trace.get_tracer_provider(), _logs.get_logger_provider()):
        news = _news(provider, attributes)
        if not news:
            continue
        try:
            could = update_resource(provider, Resource(news))
        except Exception as error:
            _logger.warning("resource: %s: the run cannot be put into it: %r", type(provider).__name__, error)
            continue
        if not could:
            _logger.info(
                "resource: %s: it was made before the run, and this SDK (before 1.44) cannot change its "
                "resource; make it after wandb.init, with run_resource()",
                type(provider).__name__,
            )


def _news(provider: object, attributes: dict[str, Any]) -> dict[str, Any]:
    """What is to be put into the resource of a provider: what a user has put there stays."""
    there = resource_of(provider)
    if there is None:
        return {}
    ours = _told.get(provider, {})
    mine = {
        name: value
        for name, value in attributes.items()
        if there.attributes.get(name) in (None, value, ours.get(name))
    }
    _told[provider] = mine
    return {name: value for name, value in mine.items() if there.attributes.get(name) != value}
