"""Where the calls for a run go: into the direct lane of the exporter that writes this run."""

import logging
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from ..bridge import Bridge
from ..exporter import WandbMetricExporter, exporter_of
from ..options import known_options, resolve
from ..record import DirectLane
from ..record.lane_gauges import global_gauges
from ..resource import run_resource
from ..spelling import refuse_unknown
from ..stats import Stats, stats_of
from ..write import RunTaken, before_finish, is_of_another_process, next_step
from ..write.traffic import learn_step, log_whole
from .calls import Announcements, Waiting, WandbCalls
from .child import Immediate
from .gate import Gate

logger = logging.getLogger("wandb_step_fix")

# The step of an environment may leap by millions; a timestamp is still further.
MAX_STEP_JUMP = 1_000_000_000
_TAKEOVER_SECONDS = 1.0
PRIORITIES = {"trainer": 0, "evaluation": 1, "debug": 10}


class Settings:
    """What the exporters that the drop-in makes are made with.

    Args:
        buffer_size: From this many waiting calls on, they are flushed before the interval is over.
        flush_interval: Seconds.
        options: Those of `WandbMetricExporter`.

    Raises:
        TypeError, ValueError: naming the option, what came and what is expected.
    """

    def __init__(self, buffer_size: int, flush_interval: float, options: Mapping[str, Any]) -> None:
        if isinstance(buffer_size, bool) or not isinstance(buffer_size, int) or buffer_size < 1:
            raise ValueError(f"buffer_size must be a number of calls, at least 1; got {buffer_size!r}")
        is_number = isinstance(flush_interval, (int, float)) and not isinstance(flush_interval, bool)
        if not is_number or not 0 < flush_interval < float("inf"):
            raise ValueError(
                f"flush_interval must be a number of seconds, greater than 0; got {flush_interval!r}"
            )
        self.buffer_size = buffer_size
        self.flush_interval = float(flush_interval)
        refuse_unknown("wandb_step_fix", options, ("buffer_size", "flush_interval", *known_options()))
        self.options = {"max_step_jump": MAX_STEP_JUMP, **options}
        self.options["priorities"] = {**PRIORITIES, **(self.options.get("priorities") or {})}
        resolve(**self.options)


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
            self.lane.high_water = settings.buffer_size
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


def counts_of(stats: Stats) -> dict[str, int]:
    """All whole numbers of `stats`, by name."""
    return {name: value for name, value in asdict(stats).items() if isinstance(value, int)}


class Routes:
    """The routes of all runs of this process, each made at the first call.

    Thread-safety: safe from any thread; looking one up in `by_id` needs no lock.
    """

    def __init__(self) -> None:
        self.by_id: dict[int, Route] = {}
        """By `id(run)`; a route keeps its run alive until it finishes."""
        self._counts: Counter[str] = Counter()
        """Those of all exporters and routes so far."""
        self._counted: weakref.WeakKeyDictionary[WandbMetricExporter, Counter[str]] = (
            weakref.WeakKeyDictionary()
        )
        """What of an exporter's counts is among these already."""
        self._closed: list[Route] = []
        """Routes whose exporters have not written their last yet."""
        self.immediate: dict[int, Immediate] = {}
        """Runs of another process, by `id(run)`."""
        self.is_patched = False
        self._ending: weakref.WeakSet[Any] = weakref.WeakSet()
        """Runs that are about to finish: what comes now goes to W&B, which may still take it."""
        self._gates: weakref.WeakKeyDictionary[Any, Gate] = weakref.WeakKeyDictionary()
        """Of each run that had a route."""
        self._lock = threading.RLock()
        self._take_off: Callable[[], None] | None = None

    def route(self, run: Any, settings: Settings, *, is_caught: bool = False) -> Route | None:
        """The route of a run; None where there can be none, which is said once.

        Args:
            run: Any run.
            settings: For a route that has to be made.
            is_caught: For a call that was caught; once none are caught any more, no route is made for it.
        """
        route = self.by_id.get(id(run))
        if route is not None:
            return route
        gate = self._gates.get(run)
        if gate is not None:
            with gate.passed() as is_free:
                pass
            if not is_free:
                return None
        began = time.monotonic()
        try:
            while route is None and run not in self._ending and not (is_caught and not self.is_patched):
                # Before the lock: an exporter that is flushing may want ours, to have a run given way to it.
                exporter = exporter_of(run)
                with self._lock:
                    if is_caught and not self.is_patched:
                        return None
                    try:
                        route = self.by_id.get(id(run)) or self._new_route(run, exporter, settings)
                    except RunTaken:  # somebody is in the midst of it; this very thread, in a signal handler
                        if time.monotonic() > began + _TAKEOVER_SECONDS:
                            raise
        except Exception:
            logger.exception("wandb.log goes to W&B as it is: there is no bridge for run %r", run)
        return route

    def put(self, run: Any, call: Waiting, settings: Settings) -> bool:
        """Send a call on its way; False where there is none.

        Raises:
            Exception: what `run.log` raises where the call is written at once.
        """
        if is_of_another_process(run):
            immediate = self.immediate.get(id(run))
            if immediate is None:
                with self._lock:
                    immediate = self.immediate.setdefault(id(run), Immediate(run, settings.options))
            immediate.write((immediate.calls, *call._replace(commit=True)))
            return True
        route = self.route(run, settings, is_caught=call.site is not None)
        if route is not None:
            route.put(call, self.rescue)
        return route is not None

    def is_ending(self, run: Any) -> bool:
        """Whether a run that had a route is about to finish: its calls are for W&B alone."""
        return id(run) not in self.by_id and run in self._ending

    def rescue(self, route: Route) -> None:
        """Send calls that came too late for a route on another way: through its successor, or to W&B itself.

        Raises:
            Exception: what `run.log` raises, where the run has finished meanwhile.
        """
        with self._gates[route.run].passed():
            for entry in route.lane.take_back(route.calls):
                call = Waiting._make(entry[1:])
                # It is still there where this thread is in the middle of closing it.
                is_gone = self.by_id.get(id(route.run)) is not route
                may_go_on = is_gone and (call.site is None or self.is_patched)
                if not (may_go_on and self.put(route.run, call, route.settings)):
                    self.write(route.run, call)

    def write(self, run: Any, call: Waiting, log: Callable[..., Any] | None = None) -> Any:
        """Give a call to W&B itself, after all that waits, and so that W&B does not drop it.

        Raises:
            Exception: what `run.log` raises.
        """
        log = run.log if log is None else log
        gate = self._gates.get(run)
        if gate is None:  # a run that nothing was caught for is W&B's alone
            return log(call.values, step=call.step, commit=call.commit)
        with gate.passed():
            return log_whole(run, log, call.values, call.step, call.commit, gate.step_metric)

    def close(self, then: Callable[[], None]) -> None:
        """End all routes: what waits is written, and `then` is called.

        Calls that come meanwhile are held back, and go to W&B afterwards.
        """
        with self._lock:
            routes = list(self.by_id.values())
        with ExitStack() as closed:
            for route in routes:
                closed.enter_context(self._gates[route.run].passed())
            closed.callback(then)
            for route in routes:
                self._end(route)
        with self._lock:
            if self._take_off is not None:
                self._take_off()
                self._take_off = None

    def flush(self, timeout: float) -> bool:
        """Write what waits, of all runs; whether all of it was written within `timeout` seconds."""
        end = time.monotonic() + timeout
        exporters = [route.exporter for route in list(self.by_id.values()) if not route.is_closed]
        flushed = [each.flush_everything(max(0.0, end - time.monotonic()) * 1e3) for each in exporters]
        return all(flushed)

    def counts(self) -> Counter[str]:
        """What became of all calls so far."""
        with self._lock:
            self._count()
            total = Counter(self._counts)
            routes = [*self.by_id.values(), *self._closed]
            immediate = list(self.immediate.values())
        total.update(total_logs=sum(route.total_logs() for route in routes))
        for each in immediate:
            total.update(
                {
                    **counts_of(stats_of(each.ledger, waiting=0, shed=0, pending=0)),
                    "total_logs": each.calls.calls,
                }
            )
        return total

    def after_fork(self) -> None:
        """In a forked child: these runs are the parent's."""
        self._lock = threading.RLock()
        self.by_id.clear()
        self._counts.clear()
        self._counted.clear()
        self._closed.clear()
        self._gates.clear()
        self.immediate.clear()

    def _new_route(self, run: Any, exporter: WandbMetricExporter | None, settings: Settings) -> Route | None:
        bridge = None
        if run in self._ending or (exporter is not None and not exporter.is_writing(run)):
            return None  # it was shut down meanwhile
        if exporter is None:
            exporter, bridge = _new_bridge(run, settings)
            exporter.gives_way(lambda: self._giving_way(run))
        route = Route(run, exporter, settings, bridge)
        if self._take_off is None:
            # First of all: what is logged while the exporters write a last time would come too late for them.
            self._take_off = before_finish(self._on_finish, first=True)
        self._gates.setdefault(run, Gate(exporter.options.step_metric))
        self.by_id[id(run)] = route
        logger.debug(
            "run %s: %s", getattr(run, "id", run), "a bridge of its own" if bridge else "it has a bridge"
        )
        return route

    @contextmanager
    def _giving_way(self, run: Any) -> Iterator[None]:
        with self._gates[run].passed():
            route = self.by_id.get(id(run))
            if route is not None:
                self._end(route, has_successor=True)
            yield

    def _on_finish(self, run: Any) -> None:
        for route in list(self.by_id.values()):
            if run is None or route.run is run:
                self._ending.add(route.run)
                self._end(route)

    def _end(self, route: Route, *, has_successor: bool = False) -> None:
        # Under the lock, so that no other route is made over an exporter that is about to end.
        with self._gates[route.run].passed(), self._lock:
            if route.is_closed:
                return
            try:
                route.close()  # calls that come meanwhile go into its lane
                if not has_successor:
                    self._write_the_last(route)
            finally:
                del self.by_id[id(route.run)]
                self._closed.append(route)
            if not has_successor:
                self._write_the_last(route)
                learn_step(route.run)
            self._count()

    def _write_the_last(self, route: Route) -> None:
        # Before those who made these calls do it themselves: their next ones may not overtake them.
        for entry in route.lane.take_back(route.calls):
            try:
                self.write(route.run, Waiting._make(entry[1:]))
            except Exception:  # it is raised where the call is made
                route.lane.put(entry)
                return

    def _count(self) -> None:
        written = [route for route in self._closed if route.is_written()]
        for exporter in {route.exporter for route in (*self.by_id.values(), *self._closed)}:
            counts = Counter(counts_of(exporter.stats()))
            self._counts.update(counts)
            self._counts.subtract(self._counted.get(exporter, {}))
            self._counted[exporter] = counts
        for route in written:
            self._closed.remove(route)
            self._counts.update(total_logs=route.total_logs())


def _new_exporter(run: Any, settings: Settings) -> WandbMetricExporter:
    try:
        return WandbMetricExporter(run, **settings.options)
    except ValueError as error:
        from ..journal.file import JournalError  # not where nobody asks for one

        if not isinstance(error, JournalError):
            raise
        logger.error("%s; run %s has none", error, getattr(run, "id", run))
        return WandbMetricExporter(run, **{**settings.options, "journal": ""})


def _new_bridge(run: Any, settings: Settings) -> tuple[WandbMetricExporter, Bridge]:
    exporter = _new_exporter(run, settings)
    interval = settings.flush_interval * 1e3
    # First, for it takes its time, and a reader's interval begins before it has a provider.
    resource = Resource.create().merge(run_resource(run))
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=interval)
    # Not the global provider, which a program may set only once, and wants to set by itself.
    provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    return exporter, Bridge(provider, reader, exporter, owns_provider=True, interval_millis=interval)


ROUTES: Routes = globals().get("ROUTES") or Routes()
"""Those of this process, also after a reload of this module."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=ROUTES.after_fork)
