"""One call that sets everything up."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource

from .bridge import Bridge
from .process_resource import TrainingResourceDetector
from .reader import BridgeReader
from .record import step_views
from .shared_options import PREFIX, endpoint_of_environment, interval_millis, max_pending_of_worker
from .sources import process_of
from .spelling import options_of, refuse_unknown
from .variables import say_unknown

if TYPE_CHECKING:
    from .exporter import WandbMetricExporter
    from .receive import OtlpReceiver
    from .send import Sender
    from .write import Run

_OWN = (
    "endpoint",
    "export_interval_millis",
    "extra_readers",
    "receiver",
    "resource",
    "service_name",
    "set_global",
)
_OF_A_WORKER = ("headers", "max_pending", "protocol")


def configure(
    run: "Run | None" = None,
    *,
    endpoint: str | None = None,
    export_interval_millis: float | None = None,
    service_name: str | None = None,
    resource: Resource | None = None,
    extra_readers: Sequence[MetricReader] = (),
    receiver: "OtlpReceiver | None" = None,
    set_global: bool = True,
    **options: Any,
) -> Bridge:
    """Set up a meter provider whose measurements become W&B rows, and return the bridge.

        run = wandb.init(project="demo")
        bridge = configure(run)
        loss = metrics.get_meter("trainer").create_gauge("loss")

    Where a global meter provider exists already, it is joined and not replaced: the bridge becomes one more
    reader of it. Its views and resource stay as they are, and its own `force_flush` and `shutdown` do not
    reach readers that were added later (OpenTelemetry SDK 1.43 to 1.45); `Bridge.force_flush`,
    `Bridge.shutdown`, the finish of the run and the end of the program do.

    On a worker, `endpoint` names the process that owns the run. What is recorded goes there by OTLP, every
    step with it; `wandb` is not even imported. See docs/many_machines.md.

    Where OpenTelemetry's auto-configuration has made an exporter for the run already
    (`OTEL_METRICS_EXPORTER=wandb`), the bridge is a hand on that one, and leaves it running at its shutdown.

    Args:
        run: The run to write to. None follows `wandb.run`, before and after `wandb.init`.
        endpoint: The base URL of a receiver (or of a Collector before it), such as `http://rank0:4318`: this
            process is a worker. By default `OTEL_WANDB_ENDPOINT`, where no run is given.
        export_interval_millis: How often rows are flushed, in milliseconds. By default
            `OTEL_METRIC_EXPORT_INTERVAL`, else 2,000.
        service_name: `service.name` of the resource.
        resource: Further resource attributes; `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` count too.
        extra_readers: Readers (Prometheus, OTLP) to feed from the same provider.
        receiver: Receives what other processes export by OTLP, into the same rows; started and stopped with
            the bridge.
        set_global: Make the provider the global one, or join the global one that exists. False makes a
            provider for this bridge alone.
        options: Those of `WandbMetricExporter`: `step_metric`, `step_keys`, `late`, `hold`, `disorder`,
            `max_pending`, `max_step_jump`, `priorities`, `gating`, `expected_sources`, `reduce`, `counters`,
            `writer`, `signal_grace`, `histograms`, `naming`, `journal`.
            Of a worker: `max_pending`, `protocol` (`http/protobuf` or `grpc`; by default as
            `OTEL_EXPORTER_OTLP_PROTOCOL` says) and `headers` (as `OTEL_EXPORTER_OTLP_HEADERS` says).

    Raises:
        TypeError, ValueError: naming the option, what came and what is expected.
        ModuleNotFoundError: a worker's OTLP exporter is not installed, with the command that installs it.
        RuntimeError: there is a global provider, and this SDK (before 1.43) cannot add a reader to one.
    """
    if endpoint is None and run is None and receiver is None:
        endpoint = endpoint_of_environment()
    say_unknown()
    _check(run, receiver, endpoint, extra_readers, options)
    _check_identity(service_name, resource, set_global)
    interval = interval_millis(export_interval_millis)
    joined = _global_provider() if set_global else None
    automatic = None if joined is None else _automatic_exporter(run)
    must_add = automatic is None or extra_readers
    if joined is not None and must_add and not _can_add_readers(joined):
        raise RuntimeError(
            "there is a global MeterProvider already, and opentelemetry-sdk before 1.43 cannot add a "
            "reader to it; upgrade the SDK, give a reader with WandbMetricExporter to that provider when it "
            "is made, or pass set_global=False"
        )
    if joined is not None and automatic is not None and endpoint is None:
        _check_nothing_is_asked({**options, "export_interval_millis": export_interval_millis})
        for each in extra_readers:
            joined.add_metric_reader(each)
        if receiver is not None:
            automatic.join_job(process_of(_resource(None, resource, Resource({})).attributes))
            receiver.start(automatic)
        return Bridge(
            joined, None, automatic, owns_provider=False, interval_millis=interval, receiver=receiver
        )
    described = _resource(service_name, resource, Resource({}) if endpoint else _of_run(run))
    exporter: WandbMetricExporter | Sender
    if endpoint is not None:
        exporter = _sender(endpoint, described, options)
    else:
        exporter = _writer(run, options)
        if receiver is not None:
            exporter.join_job(process_of(described.attributes))
            receiver.start(exporter)
    reader = BridgeReader(exporter, interval, exporter.leave_out)
    readers = [reader, *extra_readers]
    if joined is not None:
        for each in readers:
            joined.add_metric_reader(each)
        return Bridge(
            joined, reader, exporter, owns_provider=False, interval_millis=interval, receiver=receiver
        )
    provider = MeterProvider(readers, resource=described, views=step_views())
    if set_global:
        metrics.set_meter_provider(provider)
    # A global provider cannot be replaced: it stays open for the next bridge, where the SDK can add one.
    owns = not (set_global and _can_add_readers(provider))
    return Bridge(provider, reader, exporter, receiver, owns_provider=owns, interval_millis=interval)


def _automatic_exporter(run: "Run | None") -> "WandbMetricExporter | None":
    """The one that OpenTelemetry's auto-configuration has made for this run, if it has."""
    module: Any = sys.modules.get(f"{__package__}.autoconfigure.exporter")
    exporter: WandbMetricExporter | None = None if module is None else module.made_for(run)
    return exporter


def _check_nothing_is_asked(options: dict[str, Any]) -> None:
    asked = [name for name, value in options.items() if value is not None]
    if asked:
        raise ValueError(
            f"configure() got {asked[0]!r}, but OpenTelemetry's auto-configuration has made the exporter "
            f"already (OTEL_METRICS_EXPORTER or OTEL_CONFIG_FILE); set {PREFIX}{asked[0].upper()} or "
            "the key in the file, or leave `wandb` out there"
        )


def _of_run(run: "Run | None") -> Resource:
    from .resource import run_resource

    return run_resource(run)


def _writer(run: "Run | None", options: dict[str, Any]) -> "WandbMetricExporter":
    from .exporter import WandbMetricExporter

    return WandbMetricExporter(run, **options)


def _sender(endpoint: str, resource: Resource, options: dict[str, Any]) -> "Sender":
    from .send import LastAnswer, Sender, exporter_to

    max_pending, answer = max_pending_of_worker(options.pop("max_pending", None)), LastAnswer()
    exporter = exporter_to(endpoint, answer=answer, **options)
    return Sender(exporter, resource, max_pending=max_pending, answer=answer, endpoint=endpoint)


def _can_add_readers(provider: MeterProvider) -> bool:
    return hasattr(provider, "add_metric_reader") and hasattr(provider, "remove_metric_reader")


def _global_provider() -> MeterProvider | None:
    provider = metrics.get_meter_provider()
    return provider if isinstance(provider, MeterProvider) else None


def _resource(service_name: str | None, resource: Resource | None, of_run: Resource) -> Resource:
    # What the environment says goes before what is found.
    found = TrainingResourceDetector().detect()
    made = found.merge(Resource.create({SERVICE_NAME: service_name} if service_name else None)).merge(of_run)
    return made if resource is None else made.merge(resource)


def _check(
    run: object, receiver: object, endpoint: object, extra_readers: object, options: dict[str, Any]
) -> None:
    if endpoint is not None and (run is not None or receiver is not None):
        raise TypeError(
            "configure() got endpoint, and a run or a receiver, too: endpoint is for a worker, which sends "
            "to the process that owns the run; leave one of them out"
        )
    if run is not None:
        _check_run(run)
    if receiver is not None and not callable(getattr(receiver, "start", None)):
        raise TypeError(f"receiver must be an OtlpReceiver; got {receiver!r}")
    if not isinstance(extra_readers, (list, tuple)) or not all(
        isinstance(reader, MetricReader) for reader in extra_readers
    ):
        raise TypeError(f"extra_readers must be a sequence of metric readers; got {extra_readers!r}")
    takes = [*_OF_A_WORKER] if endpoint is not None else _taken_by_writer()
    for name in options:
        if name not in takes and endpoint is not None and name in _taken_by_writer():
            raise TypeError(f"{name} is for the process that owns the run: say it there, not on a worker")
        if name not in takes and name in _OF_A_WORKER:
            raise TypeError(f"{name} is for a worker, which has an endpoint: give that, too, or leave it out")
        if name not in takes:
            refuse_unknown("configure()", [name], {*takes, *_OWN} - {"clock"})


def _check_run(run: object) -> None:
    from .write.run import check

    check(run)


def _check_identity(service_name: object, resource: object, set_global: object) -> None:
    if service_name is not None and not isinstance(service_name, str):
        raise TypeError(f"service_name must be a string; got {service_name!r}")
    if resource is not None and not isinstance(resource, Resource):
        raise TypeError(
            f"resource must be a Resource of the OpenTelemetry SDK, such as Resource({{'a': 'b'}}); got "
            f"{resource!r}"
        )
    if not isinstance(set_global, bool):
        raise TypeError(f"set_global must be True or False; got {set_global!r}")


def _taken_by_writer() -> list[str]:
    from .exporter import WandbMetricExporter

    return options_of(WandbMetricExporter)[1:]
