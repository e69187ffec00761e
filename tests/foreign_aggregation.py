"""An aggregation that is not the SDK's."""

from opentelemetry.sdk.metrics.export import NumberDataPoint
from opentelemetry.sdk.metrics.view import Aggregation


class ForeignAggregation(Aggregation):
    """One of the user's own, whose points the SDK cannot place."""

    def _create_aggregation(self, *_):
        return self

    def aggregate(self, *_):
        """Take a measurement."""

    def collect(self, *_):
        return NumberDataPoint({}, 0, 1, 5)
