"""Views that take `step` and `priority` out of the identity of series, for every reader."""

import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any

from opentelemetry.sdk.metrics.view import (
    DefaultAggregation,
    DropAggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    LastValueAggregation,
    SumAggregation,
    View,
)

from ..attributes import PRIORITY, STEP
from .aggregation import keeping_all
from .intake import Intake
from .sdk import views_of

_KNOWN = (
    DefaultAggregation,
    DropAggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    LastValueAggregation,
    SumAggregation,
)


class _AllBut(set[str]):
    """Attribute keys: all but these. A `View` asks nothing of its `attribute_keys` but `key in keys`."""

    def __contains__(self, key: object) -> bool:
        return not super().__contains__(key)


class _EveryOther(View):
    """Matches every instrument that no other view of the same provider matches.

    The SDK makes one stream for each view that matches, and a counter read from two streams of one name is
    counted twice; so this view steps back before any other, and before an earlier one of its own kind.
    """

    def _match(self, instrument: Any) -> bool:
        views = views_of(instrument)
        times = sum(view is self for view in views)
        if times > 1 and not self._is_asked_first(instrument, times):
            return False
        for view in views:
            if view is self:
                continue
            if isinstance(view, _EveryOther):
                if _comes_first(view, self, views):
                    return False
            elif view._match(instrument):
                return False
        return super()._match(instrument)

    def _is_asked_first(self, instrument: Any, times: int) -> bool:
        """Of a list that was unpacked twice: the SDK asks once for each place, one after the other."""
        asked: Counter[int] = _asked.__dict__.setdefault("counts", Counter())
        place = asked[id(instrument)] % times
        asked[id(instrument)] += 1
        if place == times - 1:
            del asked[id(instrument)]
        return place == 0


_asked = threading.local()


def step_views() -> list[View]:
    """The views that keep `step` and `priority` out of the series of every reader.

        MeterProvider(readers, views=[*step_views(), View(instrument_name="latency", ...)])

    Every instrument that no other view of the provider matches gets one of these, so they can stand beside
    views of your own, `step_view`s, or each other, in any order, without a stream being doubled. An
    instrument that a view of your own matches is left to that view.

    Returns:
        A new list, for the `views` of one `MeterProvider`.
    """
    return [_EveryOther(instrument_name="*", attribute_keys=_AllBut((STEP, PRIORITY)))]


def are_step_views_in(views: Iterable[View]) -> bool:
    """Whether `step_views()` are among the views of a provider."""
    return any(isinstance(view, _EveryOther) for view in views)


def step_view(**criteria_and_aggregation: Any) -> View:
    """A view of your own that keeps the steps: for an instrument that wants an explicit aggregation.

        step_view(instrument_name="latency", aggregation=ExponentialBucketHistogramAggregation())

    Takes what `View` takes. `attribute_keys` are kept less `step` and `priority`; an `aggregation` gets a
    reservoir that keeps every measurement. The view is for all readers of its provider, so these hold the
    measurements of one interval too, 131,072 of a series at most.

    Raises:
        TypeError: for `exemplar_reservoir_factory` (this view brings its own), unknown names, and an
            aggregation that the SDK does not know: it would give out the data of another instrument.
    """
    if "exemplar_reservoir_factory" in criteria_and_aggregation:
        raise TypeError("step_view brings its own exemplar_reservoir_factory; use View to choose another")
    wanted = dict(criteria_and_aggregation)
    keys = wanted.get("attribute_keys")
    without = {STEP, PRIORITY}
    wanted["attribute_keys"] = _AllBut(without) if keys is None else set(keys) - without
    aggregation = wanted.get("aggregation")
    if aggregation is not None and not isinstance(aggregation, _KNOWN):
        expected = ", ".join(f"{kind.__name__}()" for kind in _KNOWN)
        raise TypeError(f"step_view: aggregation must be one of {expected}; got {aggregation!r}")
    if aggregation is not None and not isinstance(aggregation, (DefaultAggregation, DropAggregation)):
        wanted["aggregation"] = keeping_all(aggregation, Intake())
    return View(**wanted)


def _comes_first(one: View, other: View, views: Any) -> bool:
    order = [id(view) for view in views]
    return id(other) in order and order.index(id(one)) < order.index(id(other))
