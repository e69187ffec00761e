"""How this process is set up: the provider, its readers and views, patches, the run."""

import os
import sys
from collections.abc import Iterator
from typing import Any

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider

from ..exporter import WandbMetricExporter, living_exporters
from ..plural import count_of
from ..record.sdk import is_reader_of, views_in
from ..record.views import are_step_views_in
from ..send import Sender, living_senders
from ..write.run import active_run, is_disabled, is_shared
from ..write.wrappers import Wrapped, wrappers_of_log
from .elsewhere import look_elsewhere
from .finding import FINE, NOTE, TROUBLE, Finding
from .silent import first_of, silent_instruments

_DROP_IN = "otel_wandb_bridge.wandb_step_fix.patch"
_CALL_CONFIGURE = (
    "call configure(run), or run with OTEL_METRICS_EXPORTER=wandb under opentelemetry-instrument"
)
_START_IT = "opentelemetry-instrument otel-wandb doctor train.py: it sets up what OTEL_METRICS_EXPORTER says"
_GIVE_ONE = "leave set_global=False out of configure(), or metrics.set_meter_provider(provider)"


def look_at_process() -> Iterator[Finding]:
    """How this process is set up, now."""
    exporters, workers = open_exporters(), [each for each in living_senders() if not each.is_shut_down]
    if not (exporters or workers) and (living_exporters() or living_senders()):
        yield Finding("bridge", FINE, "it has been shut down; see what became of its samples")
        yield from _about_log()
        return
    yield from _about_provider(exporters, workers)
    if any(each.readers() for each in exporters):
        yield from look_elsewhere(is_asked=not _is_patched())
    yield from _about_log()
    if exporters or not workers or active_run() is not None:
        yield from _about_run(exporters)


def open_exporters() -> list[WandbMetricExporter]:
    """The exporters of this process that still take what comes."""
    return [exporter for exporter in living_exporters() if not exporter.is_shut_down]


def _about_provider(exporters: list[WandbMetricExporter], workers: list[Sender]) -> Iterator[Finding]:
    provider = metrics.get_meter_provider()
    if not isinstance(provider, MeterProvider):
        yield _about_no_provider(has_bridge=bool(exporters or workers))
    else:
        readers = [reader for each in exporters for reader in each.readers()]
        readers += [reader for each in workers for reader in each.readers()]
        if any(is_reader_of(provider, reader) for reader in readers):
            yield Finding("meter provider", FINE, "the global one has the bridge among its readers")
            yield _about_views(provider)
        else:
            text = "the global one has no reader of the bridge: what its instruments record is not in W&B"
            mend = "call configure(run) after it was set, or give it a reader with WandbMetricExporter(run)"
            yield Finding("meter provider", TROUBLE, text, mend)
    for exporter in exporters:
        if not exporter.readers() and not exporter.stats().recorded:
            text = "there is a WandbMetricExporter without a reader: nothing is ever collected for it"
            mend = "MeterProvider([PeriodicExportingMetricReader(exporter)])"
            yield Finding("exporter", TROUBLE, text, mend)


def _about_no_provider(*, has_bridge: bool) -> Finding:
    silent = silent_instruments()
    if silent:
        what = f"{count_of(len(silent), 'instrument')} of metrics.get_meter() ({first_of(silent)})"
        text = f"no global one is set, so that {what} can record nothing"
        if _is_patched():  # they may be those of a library that nobody asked to measure
            return Finding("meter provider", NOTE, text, _mend_of_none())
        return Finding("meter provider", TROUBLE, text, _GIVE_ONE if has_bridge else _mend_of_none())
    if has_bridge:
        text = "no global one is set; metrics.get_meter() records nothing, bridge.meter_provider does"
        return Finding("meter provider", FINE, text)
    text = "none is set, and there is no bridge: instruments record nothing"
    return Finding("meter provider", NOTE, text, _mend_of_none())


def _mend_of_none() -> str:
    names = os.environ.get("OTEL_METRICS_EXPORTER", "").split(",")
    return _START_IT if "wandb" in map(str.strip, names) else _CALL_CONFIGURE


def _about_views(provider: MeterProvider) -> Finding:
    if are_step_views_in(views_in(provider)):
        return Finding("step views", FINE, "in place: a step makes no series of its own for other readers")
    text = "not in the global provider: with `step` as an attribute, each step is a series for other readers"
    return Finding("step views", NOTE, text, "MeterProvider(..., views=step_views()), or training_step(n)")


def _about_log() -> Iterator[Finding]:
    others = [each for each in wrappers_of_log() if not each.is_ours]
    for each in others:
        yield Finding("wandb.log", NOTE, f"patched by {_described(each)}")
    if _is_patched():
        yield Finding("wandb.log", FINE, "patched by wandb_step_fix: all calls go through the bridge")
    elif not others:
        yield Finding("wandb.log", FINE, "as W&B made it: its calls do not join the rows of the bridge")


def _is_patched() -> bool:
    drop_in = sys.modules.get(_DROP_IN)  # not imported for this: it need not have been
    return drop_in is not None and drop_in.is_patched()


def _described(wrapped: Wrapped) -> str:
    return f"{wrapped.module}.{wrapped.name} ({wrapped.file}:{wrapped.line}, on {wrapped.where})"


def _about_run(exporters: list[WandbMetricExporter]) -> Iterator[Finding]:
    run: Any = active_run()
    if run is None:
        yield Finding("run", NOTE, "no run is active", "wandb.init()")
        return
    mode = "disabled" if is_disabled(run) else getattr(run.settings, "mode", "online")
    text = f"{run.id}, mode {mode}"
    if is_disabled(run):
        yield Finding("run", NOTE, f"{text}: W&B keeps nothing", 'wandb.init(mode="offline")')
        return
    if is_shared(run):
        text += "; W&B numbers its rows itself, the step is on the axis"
    writers = [exporter for exporter in exporters if exporter.is_writing(run)]
    following = [exporter for exporter in exporters if exporter.writes(run)]
    if writers or following:
        yield Finding("run", FINE, f"{text}; the bridge writes it")
    elif exporters:
        yield Finding("run", TROUBLE, f"{text}; the bridge writes another run", "configure(wandb.run)")
    else:
        yield Finding(
            "run", NOTE, f"{text}; no bridge writes it", "configure(wandb.run), or patch_wandb_log()"
        )
