"""The bridge's own counts as OpenTelemetry metrics, for every reader of the provider."""

from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from .stats import Stats

_ENDS = ("written", "overridden", "dropped", "rejected", "shed")


def observe(meter: Meter, stats: Callable[[], Stats]) -> None:
    """Register observables that read `stats`, which must not wait for a flush: readers hold locks here."""
    latest = [stats()]

    def ended(_: CallbackOptions) -> Iterable[Observation]:
        # The first instrument of each collection takes the counts for all: counting what waits takes a while.
        latest[0] = stats()
        return [Observation(getattr(latest[0], end), {"outcome": end}) for end in _ENDS]

    meter.create_observable_counter(
        "otel_wandb_bridge.samples",
        [ended],
        unit="{sample}",
        description="Samples by what became of them. With those pending, they are all that were recorded.",
    )
    meter.create_observable_up_down_counter(
        "otel_wandb_bridge.samples.pending",
        [_reading(latest, "pending")],
        unit="{sample}",
        description="Samples that wait to be written.",
    )
    for name, unit, description in (
        ("recorded", "{sample}", "Samples that came in."),
        ("late", "{sample}", "Samples that came after the row of their step was committed."),
        ("rows", "{row}", "Rows committed."),
        ("failed_flushes", "{flush}", "Flushes that W&B interrupted."),
    ):
        meter.create_observable_counter(
            f"otel_wandb_bridge.{name}", [_reading(latest, name)], unit=unit, description=description
        )


def _reading(latest: list[Stats], name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: [Observation(getattr(latest[0], name))]
