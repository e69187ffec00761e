"""Views of the user's own whose aggregation replaces ours: all steps of an interval become one point."""

from collections.abc import Iterable
from typing import Any

from opentelemetry.metrics import Asynchronous
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.metrics.view import DefaultAggregation

from ..ledger import Ledger
from .aggregation import KeepAll
from .sdk import streams_of


def say_of_collapsing_views(readers: Iterable[MetricReader], metrics: Iterable[str], ledger: Ledger) -> None:
    """Say once of each instrument whose steps are lost to the aggregation of its view, with the mend.

    Args:
        readers: Those of the exporter.
        metrics: The names of metrics that came without our measurements, and without a step.
        ledger: Says it.
    """
    names = {*metrics}
    for reader in readers:
        for instrument, aggregation, name in streams_of(reader):
            if name in names and not isinstance(instrument, Asynchronous) and _collapses(aggregation):
                ledger.say_once(
                    "view",
                    f"instrument {instrument.name!r}",
                    "the aggregation of its View replaces the one that keeps the steps: what is measured in "
                    "one interval is one point, at the step that is newest then. Use step_view("
                    f"instrument_name={instrument.name!r}, aggregation={type(aggregation).__name__}(…)) "
                    "in its place",
                )


def _collapses(aggregation: Any) -> bool:
    return aggregation is not None and not isinstance(aggregation, (DefaultAggregation, KeepAll))
