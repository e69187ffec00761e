"""From what a reader collected to samples."""

from collections.abc import Hashable, Mapping
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple

from opentelemetry.sdk.metrics.export import Gauge, Metric, MetricsData, Sum

from ..attributes import (
    LANE_SCOPE,
    OBSERVED,
    PRIORITY,
    SELF_SCOPES,
    SENT_SCOPE,
    SETTLED_STEP,
    SHED,
    SOURCE,
    STEP,
    default_priority,
    parse_priority,
    parse_step,
)
from ..ledger import Ledger
from ..records import Kind, Sample
from .descriptions import Descriptions
from .naming import Keys, Naming, UnusableKey, identity_of
from .points import PlainPoints

_OVERFLOW = "otel.metric.overflow"
_MEANINGFUL = frozenset((STEP, SOURCE, PRIORITY, SETTLED_STEP, OBSERVED, SHED, _OVERFLOW))
_NUMBERS = frozenset((float, int))
_OWN_SCOPES = SELF_SCOPES | {LANE_SCOPE}

_measured_at = itemgetter(Sample._fields.index("time"))


class Decoded(NamedTuple):
    """The samples of one collection."""

    samples: list[Sample]
    """In the order of their measurement."""
    collected_at: float
    """When the collection began: seconds since the epoch."""


class Decoder:
    """Turns collected metrics into samples.

    Where a data point carries exemplars of a keep-all reservoir, these are its samples and its aggregate is
    ignored: a value is never counted twice. Any other data point is itself the sample (`PlainPoints`), with
    the step from its attributes; exemplars that another reservoir sampled are not mistaken for ours, which
    all carry `wandb.step`.

    The bridge's own metrics and the SDK's self-observation are left out.

    Args:
        naming: The rule for keys.
        priorities: Those of sources whose measurements say none.
        ledger: Where samples are counted.
        descriptions: Told what each metric says of itself; None for its own.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(
        self,
        naming: Naming,
        priorities: Mapping[str, int],
        ledger: Ledger,
        descriptions: Descriptions | None = None,
    ) -> None:
        self.descriptions = Descriptions(naming) if descriptions is None else descriptions
        self._keys = Keys(naming, ledger)
        self._points = PlainPoints(ledger)
        self._origin = _Origin(None)
        self._priorities = dict(priorities)
        self._ledger = ledger
        self.skipped_scopes = _OWN_SCOPES
        """What no samples are made of."""
        self.collapsed: set[str] | None = None
        """The names of metrics that came without our measurements and without a step; None: not noted."""

    def decode(self, metrics_data: MetricsData) -> Decoded:
        """The samples in `metrics_data`. What cannot be decoded is rejected and counted, never raised."""
        samples: list[Sample] = []
        collected_at = 0.0
        seen: dict[int, str] = {}
        for resource_metrics in metrics_data.resource_metrics:
            self._origin = _Origin(resource_metrics.resource)
            for scope_metrics in resource_metrics.scope_metrics:
                scope = scope_metrics.scope.name
                for metric in scope_metrics.metrics:
                    if seen.setdefault(id(metric.data), metric.name) != metric.name:
                        self._reject_foreign_data(metric, seen[id(metric.data)])
                        continue
                    self.descriptions.note(metric, scope)
                    for point in metric.data.data_points:
                        collected_at = max(collected_at, point.time_unix_nano / 1e9)
                        if scope not in self.skipped_scopes:
                            self._point(metric, scope, point, samples)
        samples.sort(key=_measured_at)
        return Decoded(samples, collected_at)

    def _point(self, metric: Metric, scope: str, point: Any, samples: list[Sample]) -> None:
        exemplars = point.exemplars
        if exemplars:
            ours = [each for each in exemplars if SETTLED_STEP in (each.filtered_attributes or ())]
            if ours:
                self._of_exemplars(metric, scope, point.attributes or {}, ours, samples)
                return
        try:
            sample = self._of_point(metric, scope, point)
        except Exception as error:
            self._ledger.recorded += 1
            self._reject_undecodable(metric, error)
            return
        if sample is not None:
            samples.append(sample)

    def _of_exemplars(
        self,
        metric: Metric,
        scope: str,
        point: Mapping[str, Any],
        exemplars: list[Any],
        samples: list[Sample],
    ) -> None:
        """Add a sample for each exemplar.

        Most say nothing but their step, and are alike in all else: what these have in common is worked out
        once.
        """
        kind = _kind(metric)
        is_value = kind is Kind.VALUE
        alike = self._alike(metric, scope, point, kind)
        unstepped: dict[str, Sample] = {}
        recorded = 0
        new = tuple.__new__
        for exemplar in exemplars:
            measured = exemplar.filtered_attributes
            settled = measured[SETTLED_STEP]
            value = exemplar.value
            if alike is not None and type(settled) is int and len(measured) == 1 and type(value) in _NUMBERS:
                source, key, priority = alike
                time = exemplar.time_unix_nano / 1e9
                samples.append(new(Sample, (source, settled, key, value, priority, time, kind)))
                recorded += 1
                continue
            if settled is True:
                self._note_shed(metric, measured.get(SHED, 0))
                continue
            recorded += 1
            try:
                sample = self._of_exemplar(metric, scope, point, exemplar, kind)
            except Exception as error:
                self._reject_undecodable(metric, error)
                continue
            if sample is None:
                continue
            if sample.step is not None or not is_value:
                samples.append(sample)
            else:
                self._collapse(metric, sample, unstepped)
        self._ledger.recorded += recorded
        samples += unstepped.values()

    def _alike(
        self, metric: Metric, scope: str, point: Mapping[str, Any], kind: Kind
    ) -> tuple[str, str, int] | None:
        try:
            source = _source(point.get(SOURCE), scope)
            key = self._key(metric, scope, point, {})
            return source, key, self._priority(metric, source, point.get(PRIORITY))
        except Exception:  # each exemplar of it is rejected by itself
            return None

    def _of_exemplar(
        self, metric: Metric, scope: str, point: Mapping[str, Any], exemplar: Any, kind: Kind
    ) -> Sample | None:
        measured = exemplar.filtered_attributes
        settled = measured[SETTLED_STEP]
        source = _source(measured.get(SOURCE, point.get(SOURCE)), scope)
        if not isinstance(settled, int):
            text = f"{settled}; source {source!r}"
            self._ledger.reject("step", f"instrument {metric.name!r}", text)
            return None
        return Sample(
            source,
            None if settled is False else settled,
            self._key(metric, scope, point, measured),
            _number(exemplar.value),
            self._priority(metric, source, measured.get(PRIORITY, point.get(PRIORITY))),
            exemplar.time_unix_nano / 1e9,
            Kind.READING if OBSERVED in measured else kind,
        )

    def _collapse(self, metric: Metric, sample: Sample, unstepped: dict[str, Sample]) -> None:
        # Without a step, the measurements of one interval have no place of their own: one stands, as it
        # does for every other reader.
        other = unstepped.get(sample.key)
        if other is not None:
            self._ledger.overridden += 1
            self._ledger.say_once(
                "no step",
                f"instrument {metric.name!r}",
                "of its measurements in one interval, the last stands; to keep each, give it a step: "
                "training_step(…), set_step(…) or the attribute `step`",
            )
        if other is None or sample.priority <= other.priority:
            unstepped[sample.key] = sample

    def _key(self, metric: Metric, scope: str, point: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
        if scope == SENT_SCOPE:
            return metric.name
        # What a view has taken out of the series tells nothing apart. In the overflow point, though, are
        # many series that no view has joined.
        attributes = {**point, **measured} if _OVERFLOW in point else point
        return self._keys.key(
            metric.name, {name: value for name, value in attributes.items() if name not in _MEANINGFUL}
        )

    def _of_point(self, metric: Metric, scope: str, point: Any) -> Sample | None:
        attributes = point.attributes or {}
        source = _source(attributes.get(SOURCE), scope)
        if _OVERFLOW in attributes:
            self._ledger.recorded += 1
            self._ledger.reject(
                "overflow",
                f"instrument {metric.name!r}",
                "more attribute sets in one interval than the SDK's cardinality limit; use step_views(), or "
                "fewer attributes",
            )
            return None
        step: int | None = None
        if STEP in attributes:
            try:
                step = parse_step(attributes[STEP])
            except ValueError as error:
                self._ledger.recorded += 1
                text = f"{error}; source {source!r}"
                self._ledger.reject("step", f"instrument {metric.name!r}", text)
                return None
        series = (self._origin.identity, scope, metric.name, identity_of(attributes))
        news = self._points.news(metric, series, point, has_step=step is not None)
        if news is None:
            return None
        value, kind = news
        key = self._key(metric, scope, attributes, {})
        priority = self._priority(metric, source, attributes.get(PRIORITY))
        if step is None and self.collapsed is not None:
            self.collapsed.add(metric.name)
        self._ledger.recorded += 1
        return Sample(source, step, key, value, priority, point.time_unix_nano / 1e9, kind)

    def _priority(self, metric: Metric, source: str, given: Any) -> int:
        if given is None:
            return default_priority(source, self._priorities)
        if type(given) is int and 0 <= given <= 10:
            return given
        try:
            return parse_priority(given)
        except ValueError as error:
            text = f"{error}; the default is used"
            self._ledger.say_once("priority", f"instrument {metric.name!r}", text)
            return default_priority(source, self._priorities)

    def _reject_undecodable(self, metric: Metric, error: Exception) -> None:
        if isinstance(error, UnusableKey):
            self._ledger.reject("key", f"instrument {metric.name!r}", str(error))
        else:
            self._ledger.reject("undecodable", f"instrument {metric.name!r}", repr(error))

    def _reject_foreign_data(self, metric: Metric, owner: str) -> None:
        # The SDK's storage of a reader has a branch for each aggregation that it knows, and after none of
        # them it goes on with the data of the instrument before.
        self._ledger.recorded += len(metric.data.data_points)
        self._ledger.reject(
            "aggregation",
            f"instrument {metric.name!r}",
            f"the SDK does not know the aggregation of its view, and gives out the data of {owner!r} for it; "
            "choose one of opentelemetry.sdk.metrics.view",
            count=len(metric.data.data_points),
        )

    def _note_shed(self, metric: Metric, count: int) -> None:
        if count:
            self._ledger.recorded += count
            self._ledger.shed += count
            self._ledger.say_once(
                "shed",
                f"instrument {metric.name!r}",
                "it is recorded faster than it is collected; the newest measurements are lost",
            )


class _Origin:
    """Which resource the data points are of."""

    def __init__(self, resource: Any) -> None:
        self._resource = resource

    @cached_property
    def identity(self) -> Hashable:
        """Tells it from other resources, whose series are others."""
        attributes = getattr(self._resource, "attributes", None) or {}
        # Less the run: it may come after the provider, whose series stay the same.
        return identity_of({name: value for name, value in attributes.items() if name[:6] != "wandb."})


def _source(said: Any, scope: str) -> str:
    return scope if said is None or said == "" else str(said)


def _number(value: Any) -> float:
    if isinstance(value, (float, int)):
        return value
    raise TypeError(f"a number is expected; got {value!r}")


def _kind(metric: Metric) -> Kind:
    if isinstance(metric.data, Gauge):
        return Kind.VALUE
    return Kind.INCREMENT if isinstance(metric.data, Sum) else Kind.OBSERVATION
