"""Instruments of a meter provider that the bridge does not read."""

from collections.abc import Iterator

from ..plural import count_of
from ..record import StepAggregation
from ..record.sdk import prefers, readers_over, scope_name
from .finding import NOTE, TROUBLE, Finding
from .silent import first_of, instruments_of, names_of

_SDK = "opentelemetry.sdk."
_OURS = "otel_wandb_bridge"
_MEND = "take them from metrics.get_meter() or bridge.meter_provider, or make it global before configure()"


def look_elsewhere(*, is_asked: bool = True) -> Iterator[Finding]:
    """Those that nobody reads, and those that others read; call it while a bridge is there.

    Providers that a bridge has read once are left out: their instruments may be older than the one that is
    there now.

    Args:
        is_asked: Somebody wants instruments in the run, and not calls of `wandb.log` alone.
    """
    elsewhere = [
        each
        for each in instruments_of(_SDK)
        if not scope_name(each).startswith(_OURS)
        and not any(prefers(reader, StepAggregation) for reader in readers_over(each))
    ]
    unread = names_of(each for each in elsewhere if not readers_over(each))
    read = names_of(each for each in elsewhere if readers_over(each))
    if unread:
        text = f"{named(unread)} of a MeterProvider that neither the bridge nor anybody else reads"
        yield Finding("other provider", TROUBLE if is_asked else NOTE, text, _MEND)
    if read:
        text = f"{named(read)} of a MeterProvider that others read, and not the bridge"
        yield Finding("other provider", NOTE, text, _MEND)


def named(names: list[str]) -> str:
    """How many instruments, with the first names."""
    return f"{count_of(len(names), 'instrument')} ({first_of(names)})"
