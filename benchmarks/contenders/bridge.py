"""The bridge, by each of its entrances."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .contender import Contender, Scalar, Values
from .wandb_alone import offline_run, scalars_of


class _OnWandb(Contender):
    options: dict[str, Any] = {}

    def start(self, directory: Path) -> None:
        from otel_wandb_bridge import configure

        self._run = offline_run(directory)
        self._bridge = configure(self._run, **self.options)

    def finish(self) -> None:
        import wandb

        self._run.finish()
        self._bridge.shutdown()
        wandb.teardown()

    def counts(self) -> dict[str, Any]:
        stats = self._bridge.stats()
        return {"calls": stats.log_calls, "rows": stats.rows, "is conserved": stats.is_conserved()}

    def backlog(self) -> int:
        return self._bridge.stats().pending

    @classmethod
    def read(cls, directory: Path) -> Iterator[Scalar]:
        return scalars_of(directory, "global_step")


class BridgeInstruments(_OnWandb):
    """Gauges, with `{step, source, priority}` at each measurement."""

    name = "bridge: instruments"

    def start(self, directory: Path) -> None:
        super().start(directory)
        self._meter = self._bridge.meter_provider.get_meter("bench")
        self._gauges: dict[str, Any] = {}

    def log(self, values: Values, step: int, source: str) -> None:
        attributes = {"step": step, "source": source, "priority": 5}
        gauges = self._gauges
        for key, value in values.items():
            gauge = gauges.get(key)
            if gauge is None:
                gauge = gauges[key] = self._meter.create_gauge(key)
            gauge.set(value, attributes)


class BridgeAmbient(BridgeInstruments):
    """Gauges without attributes; the step is that of the process, each component has a meter of its own."""

    name = "bridge: instruments, ambient step"

    def begin_step(self, step: int) -> None:
        from otel_wandb_bridge import set_step

        set_step(step)

    def log(self, values: Values, step: int, source: str) -> None:
        gauges = self._gauges
        for key, value in values.items():
            gauge = gauges.get(key)
            if gauge is None:
                gauge = gauges[key] = self._bridge.meter_provider.get_meter(source).create_gauge(key)
            gauge.set(value)


class BridgeLog(_OnWandb):
    """`Bridge.log`: the direct lane."""

    name = "bridge: Bridge.log"

    def start(self, directory: Path) -> None:
        super().start(directory)
        self._log = self._bridge.log

    def log(self, values: Values, step: int, source: str) -> None:
        self._log(values, step=step, source=source)

    def component(self, source: str) -> Callable[[Values, int], None]:
        log = self._log
        return lambda values, step: log(values, step=step, source=source)


class BridgeLogThread(BridgeLog):
    """A thread writes the rows, come what may."""

    name = "bridge: Bridge.log, writer=thread"
    options = {"writer": "thread"}


class BridgeLogProcess(BridgeLog):
    """A process of its own writes the rows from the start."""

    name = "bridge: Bridge.log, writer=process"
    options = {"writer": "process"}


class Patched(Contender):
    """Existing code: `wandb.log(values, step=step)` with `wandb_step_fix` switched on."""

    name = "bridge: patched wandb.log"

    def start(self, directory: Path) -> None:
        from otel_wandb_bridge.wandb_step_fix import patch_wandb_log

        patch_wandb_log()
        self._run = offline_run(directory)
        # Components are told apart by the function that logs: four of them, as in a program.
        names = ("trainer", "reward", "rollout", "evaluation")
        self._by_source = {name: _component(self._run.log) for name in names}

    def log(self, values: Values, step: int, source: str) -> None:
        self._by_source[source](values, step)

    def component(self, source: str) -> Callable[[Values, int], None]:
        return self._by_source[source]

    def finish(self) -> None:
        import wandb

        self._run.finish()
        wandb.teardown()

    def counts(self) -> dict[str, Any]:
        from otel_wandb_bridge.wandb_step_fix import get_step_manager

        stats = get_step_manager().get_stats()
        return {"calls": stats["log_calls"], "rows": stats["rows"]}

    def backlog(self) -> int:
        from otel_wandb_bridge.wandb_step_fix import get_step_manager

        return get_step_manager().get_stats()["pending"]

    @classmethod
    def read(cls, directory: Path) -> Iterator[Scalar]:
        return scalars_of(directory, "global_step")


def _component(log: Any) -> Callable[[Values, int], None]:
    """A function with code of its own, as four components have."""
    space: dict[str, Any] = {"log": log}
    exec("def component(values, step): log(values, step=step)", space)
    made: Callable[[Values, int], None] = space["component"]
    return made
