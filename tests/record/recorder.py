"""A provider whose one reader keeps every measurement, for the tests of this folder."""

from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader

from otel_wandb_bridge.attributes import SETTLED_STEP
from otel_wandb_bridge.record import INSTRUMENTS, Intake, StepAggregation


class Recorder:
    """Records through real instruments, and collects when the test says so."""

    def __init__(
        self,
        *,
        views=(),
        temporality=AggregationTemporality.DELTA,
        readers=(),
        intake=None,
        on_instrument=None,
        **options,
    ):
        self.intake = intake or Intake()
        self.aggregation = StepAggregation(self.intake, on_instrument)
        self.reader = InMemoryMetricReader(
            preferred_temporality=dict.fromkeys(INSTRUMENTS, temporality),
            preferred_aggregation=dict.fromkeys(INSTRUMENTS, self.aggregation),
        )
        self.provider = MeterProvider([self.reader, *readers], views=views, shutdown_on_exit=False, **options)
        self.meter = self.provider.get_meter("trainer")

    def exemplars(self):
        """What was recorded since the last call; exemplars that stand for no measurement are left out."""
        return [
            exemplar
            for _, point in points_of(self.reader)
            for exemplar in point.exemplars
            if exemplar.filtered_attributes[SETTLED_STEP] is not True
        ]

    def steps(self):
        """The settled step of each measurement since the last call."""
        return [exemplar.filtered_attributes[SETTLED_STEP] for exemplar in self.exemplars()]


def points_of(reader):
    """(metric, data point) of one collection."""
    collected = reader.get_metrics_data()
    return [
        (metric, point)
        for resource_metrics in (collected.resource_metrics if collected else ())
        for scope_metrics in resource_metrics.scope_metrics
        for metric in scope_metrics.metrics
        for point in metric.data.data_points
    ]


class SevenInstruments:
    """One of each kind, by the name of its kind; `record` feeds any of them a value."""

    KINDS = (
        "counter",
        "up_down_counter",
        "histogram",
        "gauge",
        "observable_counter",
        "observable_up_down_counter",
        "observable_gauge",
    )

    def __init__(self, meter):
        self._observed = {}
        self._meter = meter
        self._record = {}

    def record(self, kind, value, attributes=None):
        """Record a value; an observable instrument says it when it is collected next."""
        if kind.startswith("observable"):
            if kind not in self._observed:
                self._observed[kind] = []
                getattr(self._meter, f"create_{kind}")(kind, [self._observer(kind)])
            self._observed[kind].append(Observation(value, attributes))
            return
        if kind not in self._record:
            instrument = getattr(self._meter, f"create_{kind}")(kind)
            method = {"histogram": "record", "gauge": "set"}.get(kind, "add")
            self._record[kind] = getattr(instrument, method)
        self._record[kind](value, attributes)

    def _observer(self, kind):
        def observe(_):
            said, self._observed[kind] = self._observed[kind], []
            return said

        return observe
