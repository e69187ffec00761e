"""A W&B run in memory, with W&B's own rules about which rows come to be and which data are thrown away."""

from __future__ import annotations

import operator
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace, TracebackType
from typing import Any

from otel_wandb_bridge.testing.fake_state import FakeConfig, FakeSummary
from otel_wandb_bridge.testing.stored import as_stored
from otel_wandb_bridge.testing.tree import leaves, put

_SUMMARIES = ("min", "max", "mean", "last", "first", "copy", "none")


class FakeRun:
    """Stands in for an offline W&B run in tests: no process, no file, no network.

    The rules are those of wandb 0.31, checked against real offline runs. With ``step=`` data join the row of
    that step, a higher step seals the row in the making, a lower one is dropped; without it they join the
    row in the making and seal it. ``commit`` overrides whether the row is sealed. ``finish`` seals the last
    one.

    Not simulated: what `define_metric` does to rows and summary (it is only recorded), ``_timestamp`` and
    ``_runtime``, media, the folding of large arrays into histograms, the limit on the size of a row, resumed
    runs other than by ``starting_step``.

    Thread-safe: one lock, held for each call.

    Args:
        id: the run's id; ``name``, ``project`` and ``entity`` likewise.
        config: the first values of the config.
        starting_step: the first W&B step, as a resumed run has it.
    """

    disabled = False
    offline = True
    url = None

    def __init__(
        self,
        *,
        id: str = "fake",
        name: str | None = None,
        project: str = "fake",
        entity: str | None = None,
        config: Mapping[str, Any] | None = None,
        starting_step: int = 0,
    ) -> None:
        self.id = id
        self.name = name
        self.project = project
        self.entity = entity
        self.starting_step = starting_step
        self.settings = SimpleNamespace(mode="offline", run_id=id)
        self.exit_code: int | None = None
        self.finished = False
        self._lock = threading.RLock()
        # Guarded by _lock, all of these
        self._step = starting_step
        self._row: dict[str, Any] | None = None
        self._rows: list[dict[str, Any]] = []
        self._dropped: list[tuple[int, dict[str, Any]]] = []
        self._metrics: dict[str, dict[str, Any]] = {}
        self._calls = 0
        self._failures: list[BaseException | type[BaseException]] = []
        self.config = FakeConfig(self._writing)
        self.summary = FakeSummary(self._writing)
        self.config.update(config or {})

    @property
    def step(self) -> int:
        """The W&B step of the next log call. A real finished run raises TimeoutError after 30 s instead."""
        with self._lock:
            return self._step

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The sealed rows, in order, as ``read_rows`` gives them; the row in the making is not among them."""
        with self._lock:
            return list(self._rows)

    @property
    def dropped(self) -> list[tuple[int, dict[str, Any]]]:
        """Step and data of every log call W&B would have thrown away, in order."""
        with self._lock:
            return list(self._dropped)

    @property
    def calls(self) -> int:
        """How often `log` was called; the calls that raised count."""
        with self._lock:
            return self._calls

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """The options of each defined metric, by name; see `define_metric`."""
        with self._lock:
            return {name: dict(options) for name, options in self._metrics.items()}

    def log(self, data: Mapping[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        """Log one dict by the rules of the class.

        Raises:
            TypeError: ``data`` is not a dict with strings for keys, a value has no JSON form, or ``step`` is
                no integer. Nothing is recorded.
            wandb.errors.UsageError: the run is finished.
        """
        with self._lock:
            self._calls += 1
            self._check_active("log")
            if self._failures:
                raise self._failures.pop(0)
            new = _leaves_to_store(data)
            if step is not None:
                step = _as_step(step)
                if step < self._step:
                    self._dropped.append((step, dict(data)))
                    return
                if step > self._step:
                    self._seal(step)
            # Even a call without data makes a row: W&B adds the time to each.
            row = self._row = self._row or {"_step": self._step}
            for path, value in new:
                put(row, path, value)
            if step is None if commit is None else commit:
                self._seal(self._step + 1)

    def define_metric(
        self,
        name: str,
        step_metric: str | None = None,
        step_sync: bool | None = None,
        hidden: bool | None = None,
        summary: str | None = None,
        overwrite: bool | None = None,
    ) -> None:
        """Record the definition of a metric; options not given keep their value unless ``overwrite`` is set.

        Raises:
            wandb.errors.Error: W&B takes no such name or summary.
            wandb.errors.UsageError: the run is finished.
        """
        with self._lock:
            self._check_active("define_metric")
            _check_metric(name, summary)
            if step_sync is None and step_metric:
                step_sync = True
            given = {"step_metric": step_metric, "step_sync": step_sync, "hidden": hidden, "summary": summary}
            before = {} if overwrite else self._metrics.get(name, {})
            self._metrics[name] = {
                key: before.get(key) if value is None else value for key, value in given.items()
            }

    def finish(self, exit_code: int | None = None) -> None:
        """Seal the row in the making and end the run. A second call does nothing."""
        with self._lock:
            if not self.finished:
                self._seal(self._step + 1)
                self.finished = True
                self.exit_code = exit_code

    def fail_next(self, n: int, error: BaseException | type[BaseException]) -> None:
        """Make the next ``n`` log calls raise ``error`` and record nothing; a second order queues behind."""
        with self._lock:
            self._failures += [error] * n

    def __enter__(self) -> FakeRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish(exit_code=0 if kind is None else 1)

    def _seal(self, next_step: int) -> None:
        """Commit the row in the making, if there is one, and go on at ``next_step``. The lock is held."""
        if self._row is not None:
            self._rows.append(self._row)
            for path, value in leaves(self._row):
                if value is not None:
                    put(self.summary._items, path, value)
            self._row = None
        self._step = next_step

    @contextmanager
    def _writing(self, call: str) -> Iterator[None]:
        with self._lock:
            self._check_active(call)
            yield

    def _check_active(self, call: str) -> None:
        if self.finished:
            from wandb.errors import UsageError

            raise UsageError(
                f"Run ({self.id}) is finished. The call to `{call}` will be ignored."
                " Please make sure that you are using an active run."
            )


def _leaves_to_store(data: Any) -> list[tuple[tuple[str, ...], Any]]:
    if not isinstance(data, Mapping):
        raise TypeError("wandb.log must be passed a dictionary")
    if any(not isinstance(key, str) for key in data):
        raise TypeError("Key values passed to `wandb.log` must be strings.")
    # W&B sets these two itself and has no place for a value without a name.
    kept = {key: value for key, value in data.items() if key not in ("_step", "_runtime", "")}
    return list(leaves(as_stored(kept)))


def _as_step(step: Any) -> int:
    if isinstance(step, bool):
        raise TypeError(f"expected an integer for step, got {step!r}")
    return operator.index(step)


def _check_metric(name: str, summary: str | None) -> None:
    from wandb.errors import Error

    if not name:
        raise Error("define_metric() requires non-empty name argument")
    if "*" in name.removesuffix("*"):
        raise Error(f"Unhandled define_metric() arg: name (glob suffixes only): {name}")
    for item in summary.lower().split(",") if summary else ():
        if item not in _SUMMARIES:
            raise Error(f"Unhandled define_metric() arg: summary op: {item}")
