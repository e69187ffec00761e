"""Instruments that the SDK cannot collect: one of them would keep a reader from collecting all others."""

from collections.abc import Callable, Iterable

from opentelemetry.metrics import Instrument
from opentelemetry.sdk.metrics.export import MetricReader

from ..ledger import Ledger
from .sdk import is_aggregation_known, leave_out_unknown_aggregations, views_of


def may_be_uncollectable(instrument: Instrument) -> bool:
    """Whether a view of the provider of `instrument` has an aggregation that the SDK may not know."""
    return not all(map(is_aggregation_known, views_of(instrument)))


def collect_what_can_be(
    reader: MetricReader, collect: Callable[[], None], leave_out: Callable[[list[str]], None]
) -> None:
    """Have a reader collect, without the instruments whose aggregation the SDK does not know.

    Where it comes to such an instrument first, the SDK raises, and has collected nothing. (After others, it
    gives out the data of the one before under another name, which the decoder rejects.)

    Args:
        reader: The reader.
        collect: Collects.
        leave_out: Told the names of the instruments that the reader is not going to collect any more.

    Raises:
        Exception: what the SDK raises for all other reasons.
    """
    try:
        collect()
    except Exception:
        names = leave_out_unknown_aggregations(reader)
        if not names:
            raise
        leave_out(names)
        collect()


def say_uncollectable(names: Iterable[str], ledger: Ledger) -> None:
    """Count and say that instruments were left out; nobody knows how many measurements those had."""
    for name in names:
        ledger.recorded += 1
        ledger.reject(
            "aggregation",
            f"instrument {name!r}",
            "the SDK does not know the aggregation of its view, and cannot collect it; it is left out from "
            "now on. Choose one of opentelemetry.sdk.metrics.view",
        )
