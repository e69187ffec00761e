"""The way of the calls of one run: into the lane of the exporter that writes it, or of one made for it."""

import logging
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from ..bridge import Bridge
from ..exporter import WandbMetricExporter
from ..record import DirectLane
from ..record.lane_gauges import global_gauges
from ..resource import run_resource
from ..write import next_step
from .calls import Announcements, WandbCalls
from .settings import Settings

logger = logging.getLogger("wandb_step_fix")


class Route:
    """The way of one run's calls.

    Thread-safety: safe from any thread.
    """

    def __init__(
        self, run: Any, exporter: WandbMetricExporter, settings: Settings, bridge: Bridge | None
    ) -> None:
        self.run = run
        self.settings = settings
        self.exporter = exporter
        self.is_closed = False
        self.bridge = bridge
        """Ours to shut down; None where the exporter is somebody else's."""
        self.lane: DirectLane = exporter.open_lane()
        options = exporter.options
        self.calls = WandbCalls(
            (*options.step_keys, options.step_metric), options.priorities, options.policy.max_step_jump
        )
        # Of an exporter of ours alone: another's may be about to take a run, and wait for the lock held here.
        has_journal = bridge is not None and exporter.options.journal
        self.calls.begin_at(max(next_step(run), exporter.first_step() if has_journal else 0))
        self.announcements = Announcements()
        self.lane.add_reader(self.calls)
        if bridge is not None:
            self.lane.flush_from(settings.buffer_size)
            self.lane.gauges = global_gauges()

    def total_logs(self) -> int:
        """How many calls have come so far."""
        return self.calls.calls + sum(entry[0] is self.calls for entry in self.lane.peek())

    def is_written(self) -> bool:
        """Whether the exporter has let go of the run: what is counted now is what became of its calls."""
        return not self.exporter.is_writing(self.run)

    def step(self) -> int:
        """What `run.step` would be, had W&B been given each call at once."""
        return self.exporter.committing.look_at_lane(self.calls.count_after)

    def put(self, call: tuple[Any, ...], rescue: Callable[["Route"], None]) -> None:
        """Take a call; `rescue` is for a route that was closed in the meantime."""
        self.lane.put((self.calls, *call))
        if self.is_closed:
            rescue(self)

    def close(self) -> None:
        """The run is over, or somebody else writes it from now on."""
        self.is_closed = True
        if self.bridge is not None:
            self.bridge.shutdown()
        else:
            self.exporter.commit_everything()


def _new_exporter(run: Any, settings: Settings) -> WandbMetricExporter:
    try:
        return WandbMetricExporter(run, **settings.options)
    except ValueError as error:
        from ..journal.file import JournalError  # not where nobody asks for one

        if not isinstance(error, JournalError):
            raise
        logger.error("%s; run %s has none", error, getattr(run, "id", run))
        return WandbMetricExporter(run, **{**settings.options, "journal": ""})


def _detected() -> Resource:
    try:
        return Resource.create()
    except RuntimeError:  # the interpreter is about to end, and the SDK detects resources in threads
        return Resource({})


def new_bridge(run: Any, settings: Settings) -> tuple[WandbMetricExporter, Bridge]:
    """A bridge of the drop-in's own for a run, and its exporter.

    Raises:
        RunTaken, ValueError: as of `WandbMetricExporter`.
    """
    # First, for it takes its time, and a reader's interval begins before it has a provider.
    resource = _detected().merge(run_resource(run))
    interval = settings.flush_interval * 1e3
    exporter = _new_exporter(run, settings)
    try:
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=interval)
        # Not the global provider, which a program may set only once, and wants to set by itself.
        provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    except BaseException:
        exporter.shutdown()  # without a reader, nobody would ever flush it
        raise
    return exporter, Bridge(provider, reader, exporter, owns_provider=True, interval_millis=interval)
