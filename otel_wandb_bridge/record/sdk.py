"""The one place that reaches into private parts of the OpenTelemetry SDK.

Each has no public way to the same thing; `tests/record/test_sdk.py` fails by name when one changes.
"""

import inspect
from collections.abc import Iterator, Sequence
from threading import Lock
from typing import Any

from opentelemetry.metrics import Instrument
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.metrics.view import Aggregation, View
from opentelemetry.sdk.resources import Resource


def readers_of(aggregation: Aggregation) -> list[MetricReader]:
    """The readers that were given `aggregation` as a preferred one; none where they cannot be found.

    An exporter is never told its reader, yet must have the last interval collected when the run finishes,
    and full reservoirs before the interval is over. Readers are looked for among all of the process, since
    no instrument need have been measured yet.
    """
    return [
        reader
        for reader in _all_readers()
        if any(each is aggregation for each in getattr(reader, "_instrument_class_aggregation", {}).values())
    ]


def _all_readers() -> tuple[MetricReader, ...]:
    registered: Any = getattr(MeterProvider, "_all_metric_readers", ())
    while True:
        try:
            return tuple(registered)
        except RuntimeError:  # another thread has just added one
            continue


def views_of(instrument: Instrument) -> Sequence[View]:
    """The views of the provider that made `instrument`; empty where they cannot be found.

    A view for "every instrument that no other view matches" cannot be said in public terms.
    """
    consumer = consumer_of(instrument)
    views: Sequence[View] = getattr(getattr(consumer, "_sdk_config", None), "views", ())
    return views


def views_in(provider: MeterProvider) -> Sequence[View]:
    """The views of a provider; empty where they cannot be found. Nothing public lists them."""
    views: Sequence[View] = getattr(getattr(provider, "_sdk_config", None), "views", ())
    return views


def is_reader_of(provider: MeterProvider, reader: MetricReader) -> bool:
    """Whether a reader collects from a provider. Neither says so in public."""
    collect = getattr(reader, "_collect", None)
    consumer = getattr(provider, "_measurement_consumer", None)
    return consumer is not None and getattr(collect, "__self__", None) is consumer


def consumer_of(instrument: Instrument) -> Any:
    """What all instruments of one provider hand their measurements to; None where it cannot be found.

    An aggregation is not told for which provider it is made.
    """
    return getattr(instrument, "_measurement_consumer", None)


def readers_over(instrument: Instrument) -> list[MetricReader]:
    """The readers of the provider that made `instrument`; none where they cannot be found."""
    return [*getattr(consumer_of(instrument), "_reader_storages", ())]


def prefers(reader: MetricReader, kind: type[Aggregation]) -> bool:
    """Whether a reader was given aggregations of a kind as preferred ones. Nothing public says it."""
    given = getattr(reader, "_instrument_class_aggregation", {})
    return any(isinstance(each, kind) for each in given.values())


def scope_name(instrument: Instrument) -> str:
    """The name of the instrumentation scope that made `instrument`."""
    name: str = getattr(getattr(instrument, "instrumentation_scope", None), "name", "")
    return name


def add_views(provider: MeterProvider, views: Sequence[View]) -> bool:
    """Add views to a provider that somebody else has made; instruments that were measured keep theirs.

    The SDK's auto-configuration makes a provider without views and has no setting for them.

    Returns:
        False where it cannot be done.
    """
    configuration: Any = getattr(provider, "_sdk_config", None)
    if not isinstance(getattr(configuration, "views", None), Sequence):
        return False
    configuration.views = (*configuration.views, *views)
    return True


def is_aggregation_known(holder: Any) -> bool:
    """Whether the SDK has a place for the aggregation of a view, or of one of a reader's streams.

    It has one for its own and those derived from them. The abstract ones, which a class of one's own may be
    derived from, are none.
    """
    aggregation = getattr(holder, "_aggregation", None)
    return aggregation is None or any(
        kind.__module__.startswith("opentelemetry.") and not inspect.isabstract(kind)
        for kind in type(aggregation).__mro__
    )


def leave_out_unknown_aggregations(reader: MetricReader) -> list[str]:
    """Have a reader forget the streams for whose aggregation the SDK has no place, and collect all others.

    Nothing public takes an instrument, or a view, out of a provider.

    Returns:
        The names of the instruments; none where nothing is to be left out, or it cannot be done.
    """
    streams = _streams_by_instrument(reader)
    names = []
    for instrument, each in [*streams.items()]:
        known = [stream for stream in each if is_aggregation_known(stream)]
        if len(known) < len(each):
            streams[instrument] = known
            names.append(instrument.name)
    return names


def streams_of(reader: MetricReader) -> Iterator[tuple[Any, Any, str]]:
    """The streams of a reader: instrument, aggregation of its view, and name; none where they are not found.

    A data point does not say which instrument it is of, and by which view.
    """
    for instrument, streams in [*_streams_by_instrument(reader).items()]:
        for stream in [*streams]:
            aggregation = getattr(getattr(stream, "_view", None), "_aggregation", None)
            yield instrument, aggregation, getattr(stream, "_name", "")


def _streams_by_instrument(reader: MetricReader) -> Any:
    consumer = getattr(getattr(reader, "_collect", None), "__self__", None)
    storage = getattr(consumer, "_reader_storages", {}).get(reader)
    return getattr(storage, "_instrument_view_instrument_matches", {})


def resource_of(provider: object) -> Resource | None:
    """The resource of a meter, tracer or logger provider; None where it is not the SDK's.

    Only a meter provider keeps it from the public.
    """
    resource = getattr(provider, "resource", None)
    if resource is None:
        resource = getattr(getattr(provider, "_sdk_config", None), "resource", None)
    return resource if isinstance(resource, Resource) else None


def update_resource(provider: object, resource: Resource) -> bool:
    """Merge attributes into the resource of a meter, tracer or logger provider.

    What the SDK itself does after a fork (1.44 and later); a resource cannot be changed in public terms.

    Returns:
        False where it cannot be done: an older SDK, or a provider that is not the SDK's.
    """
    update: Any = getattr(provider, "_update_resource", None)
    if update is None:
        return False
    update(resource)
    return True


def renew_export_lock(reader: MetricReader) -> None:
    """In a forked child: a thread of the parent may have held the lock around the export.

    The SDK starts the reader's thread anew in a child, but leaves it this lock.
    """
    if hasattr(reader, "_export_lock"):
        reader._export_lock = Lock()
