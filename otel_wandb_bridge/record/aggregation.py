"""The default aggregation with a reservoir that keeps every measurement.

`Aggregation` is a public class and `_create_aggregation` its one abstract method, with a private name:
there is no other hook through which a single reader can have reservoirs of its own.
"""

from collections.abc import Callable
from copy import copy
from typing import Any

from opentelemetry.metrics import Asynchronous, Instrument
from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    UpDownCounter,
    _Gauge,
)
from opentelemetry.sdk.metrics.export import AggregationTemporality
from opentelemetry.sdk.metrics.view import Aggregation, DefaultAggregation, DropAggregation
from opentelemetry.util.types import Attributes

from ..attributes import LANE_SCOPE, SELF_SCOPES
from .intake import Intake
from .sdk import scope_name

INSTRUMENTS: tuple[type, ...] = (
    Counter,
    Histogram,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    UpDownCounter,
    _Gauge,
)
"""The seven instruments, as `preferred_aggregation` and `preferred_temporality` name them."""

TEMPORALITY: dict[type, AggregationTemporality] = {
    instrument: AggregationTemporality.CUMULATIVE
    if instrument in (ObservableCounter, ObservableGauge, ObservableUpDownCounter)
    else AggregationTemporality.DELTA
    for instrument in INSTRUMENTS
}
"""What our exporters prefer: delta for what is recorded, so that the SDK lets go of a series (one for each
step, where no view keeps the step out) once it is collected; cumulative for what is observed, since a
callback says totals."""


class KeepAll(Aggregation):
    """Mixed into an aggregation: every measurement is kept, whatever the exemplar filter says.

    The measurement is offered *before* it is aggregated, and not after, as the SDK would: a collection that
    comes between the two then finds the exemplar at the next one. In the SDK's order it would be left in
    the reservoir of a delta series that has no value until somebody measures it again (before 1.45.2).
    The exponential histogram offers zeros only this way.
    """

    intake: Intake
    on_instrument: Callable[[Instrument], None] | None
    may_record: Callable[[Any, Instrument], bool] | None

    def _create_aggregation(
        self,
        instrument: Any,
        attributes: Attributes,
        reservoir_factory: Any,
        start_time_unix_nano: int,
    ) -> Any:
        is_rival = self.may_record is not None and not self.may_record(self, instrument)
        scope = scope_name(instrument)
        is_own = scope == LANE_SCOPE or (scope in SELF_SCOPES and not isinstance(instrument, Asynchronous))
        if is_rival or is_own:
            # What the direct lane shows to other readers has its own way to W&B; and what is recorded of an
            # export would wait here for the next.
            return DropAggregation()._create_aggregation(
                instrument, attributes, reservoir_factory, start_time_unix_nano
            )
        if self.on_instrument is not None:
            self.on_instrument(instrument)
        reservoir = self.intake.reservoir(observed=isinstance(instrument, Asynchronous))
        # A copy: before SDK 1.45.0 this may be the caller's own dict, which callers reuse for other series.
        series = dict(attributes or {})
        aggregation: Any = super()._create_aggregation(  # type: ignore[safe-super]
            instrument, series, lambda kind: lambda **_: reservoir, start_time_unix_nano
        )
        aggregate, offer = aggregation.aggregate, reservoir.offer

        def offer_and_aggregate(measurement: Any, should_sample_exemplar: bool = True) -> None:
            offer(measurement.value, measurement.time_unix_nano, measurement.attributes, measurement.context)
            aggregate(measurement, False)

        aggregation.aggregate = offer_and_aggregate
        return aggregation


class StepAggregation(KeepAll, DefaultAggregation):
    """The default aggregation of each instrument, with every measurement kept."""

    def __init__(
        self,
        intake: Intake,
        on_instrument: Callable[[Instrument], None] | None = None,
        may_record: Callable[["StepAggregation", Instrument], bool] | None = None,
    ) -> None:
        super().__init__()
        self.intake = intake
        self.on_instrument = on_instrument
        self.may_record = may_record


def keeping_all(aggregation: Aggregation, intake: Intake) -> Aggregation:
    """The same aggregation with every measurement kept.

    It stays an instance of its class, which the SDK asks for when it matches views with instruments.
    """
    twin = copy(aggregation)
    twin.__class__ = type(f"Step{type(aggregation).__name__}", (KeepAll, type(aggregation)), {})
    twin.intake = intake  # type: ignore[attr-defined]
    twin.on_instrument = None  # type: ignore[attr-defined]
    twin.may_record = None  # type: ignore[attr-defined]
    return twin


def step_aggregation() -> dict[type, Aggregation]:
    """The `preferred_aggregation` with which another exporter carries the steps too.

        OTLPMetricExporter(endpoint, preferred_aggregation=step_aggregation())

    Every measurement becomes an exemplar of its data point, with the step in its filtered attribute
    `wandb.step`. Exemplars are raw measurements in the OTLP data model, so they cross machines unchanged.
    (The OTLP exporters of 1.28 cannot encode exemplars without a span; 1.29 and later can.)

    Returns:
        A new mapping from each of the seven instrument classes to one aggregation. Use one mapping for
        one exporter.
    """
    aggregation = StepAggregation(Intake())
    return dict.fromkeys(INSTRUMENTS, aggregation)
