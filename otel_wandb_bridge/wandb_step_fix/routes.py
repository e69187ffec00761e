"""Which route the calls of a run take, from its first call to its end."""

import logging
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any

from ..exporter import WandbMetricExporter, exporter_of
from ..stats import Stats, stats_of
from ..write import RunTaken, before_finish, is_of_another_process
from ..write.whole_calls import learn_step, log_as_it_is, log_whole
from .calls import Waiting
from .child import Immediate
from .gate import Gate
from .route import Route, new_bridge
from .settings import Settings

logger = logging.getLogger("wandb_step_fix")

_TAKEOVER_SECONDS = 1.0


def counts_of(stats: Stats) -> dict[str, int]:
    """All whole numbers of `stats`, by name."""
    return {name: value for name, value in asdict(stats).items() if isinstance(value, int)}


class Routes:
    """The routes of all runs of this process, each made at the first call.

    Thread-safety: safe from any thread; looking one up in `by_run` needs no lock.
    """

    def __init__(self) -> None:
        self.by_run: dict[Any, Route] = {}
        """Each run is kept alive until it finishes."""
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
        route = self.by_run.get(run)
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
                        route = self.by_run.get(run) or self._new_route(run, exporter, settings)
                    except RunTaken:  # somebody is in the midst of it; this very thread, in a signal handler
                        if time.monotonic() > began + _TAKEOVER_SECONDS:
                            raise
        except Exception as error:
            # From Python 3.12 on no thread can be started then: there is nothing that anybody could mend.
            is_the_end = isinstance(error, RuntimeError) and "interpreter shutdown" in str(error)
            level = logging.DEBUG if is_the_end else logging.ERROR
            text = "wandb.log goes to W&B as it is: there is no bridge for run %r"
            logger.log(level, text, run, exc_info=True)
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
        route = self.route(run, settings, is_caught=call.is_caught)
        if route is not None:
            route.put(call, self.rescue)
        return route is not None

    def is_ending(self, run: Any) -> bool:
        """Whether a run that had a route is about to finish: its calls are for W&B alone."""
        return run not in self.by_run and run in self._ending

    def rescue(self, route: Route) -> None:
        """Send calls that came too late for a route on another way: through its successor, or to W&B itself.

        Raises:
            Exception: what `run.log` raises, where the run has finished meanwhile.
        """
        with self._gates[route.run].passed():
            for entry in route.lane.take_back(route.calls):
                call = Waiting.of(entry)
                # It is still there where this thread is in the middle of closing it.
                is_gone = self.by_run.get(route.run) is not route
                may_go_on = is_gone and (self.is_patched or not call.is_caught)
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
            return log_as_it_is(run, log, call.values, call.step, call.commit)
        with gate.passed():
            return log_whole(run, log, call.values, call.step, call.commit, gate.step_metric)

    def close(self, then: Callable[[], None]) -> None:
        """End all routes: what waits is written, and `then` is called.

        Calls that come meanwhile are held back, and go to W&B afterwards.
        """
        with self._lock:
            routes = list(self.by_run.values())
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
        exporters = [route.exporter for route in list(self.by_run.values()) if not route.is_closed]
        flushed = [each.flush_everything(max(0.0, end - time.monotonic()) * 1e3) for each in exporters]
        return all(flushed)

    def counts(self) -> Counter[str]:
        """What became of all calls so far."""
        with self._lock:
            self._count()
            total = Counter(self._counts)
            routes = [*self.by_run.values(), *self._closed]
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
        self.by_run.clear()
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
            exporter, bridge = new_bridge(run, settings)
            exporter.gives_way(lambda: self._giving_way(run))
        route = Route(run, exporter, settings, bridge)
        if self._take_off is None:
            # First of all: what is logged while the exporters write a last time would come too late for them.
            self._take_off = before_finish(self._on_finish, first=True)
        self._gates.setdefault(run, Gate(exporter.options.step_metric))
        self.by_run[run] = route
        logger.debug(
            "run %s: %s", getattr(run, "id", run), "a bridge of its own" if bridge else "it has a bridge"
        )
        return route

    @contextmanager
    def _giving_way(self, run: Any) -> Iterator[None]:
        with self._gates[run].passed():
            route = self.by_run.get(run)
            if route is not None:
                self._end(route, has_successor=True)
            yield

    def _on_finish(self, run: Any) -> None:
        for route in list(self.by_run.values()):
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
                del self.by_run[route.run]
                self._closed.append(route)
            if not has_successor:
                self._write_the_last(route)
                learn_step(route.run)
            self._count()

    def _write_the_last(self, route: Route) -> None:
        # Before those who made these calls do it themselves: their next ones may not overtake them.
        for entry in route.lane.take_back(route.calls):
            try:
                self.write(route.run, Waiting.of(entry))
            except Exception:  # it is raised where the call is made
                route.lane.put(entry)
                return

    def _count(self) -> None:
        written = [route for route in self._closed if route.is_written()]
        for exporter in {route.exporter for route in (*self.by_run.values(), *self._closed)}:
            counts = Counter(counts_of(exporter.stats()))
            self._counts.update(counts)
            self._counts.subtract(self._counted.get(exporter, {}))
            self._counted[exporter] = counts
        for route in written:
            self._closed.remove(route)
            self._counts.update(total_logs=route.total_logs())


ROUTES: Routes = globals().get("ROUTES") or Routes()
"""Those of this process, also after a reload of this module."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=ROUTES.after_fork)
