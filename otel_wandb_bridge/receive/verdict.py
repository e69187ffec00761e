"""Which data points of a request cannot be used: said in the answer, before they are accepted."""

from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from ..attributes import STEP, parse_step
from ..decode.otlp_points import OVERFLOW, value_of, why_unusable
from ..plural import count_of

_REASONS = 5


def answer_to(request: ExportMetricsServiceRequest) -> ExportMetricsServiceResponse:
    """The response to a request: a partial success, where some of its data points cannot be used.

    (OTLP specification, "Partial Success": the count of rejected data points, and why.)
    """
    rejected = 0
    reasons: dict[str, None] = {}
    for resource_metrics in request.resource_metrics:
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                kind = metric.WhichOneof("data")
                if kind is None:
                    continue
                points = getattr(metric, kind).data_points
                reason = why_unusable(metric, kind)
                if reason is not None:
                    rejected += len(points)
                    reasons[f"metric {metric.name[:200]!r}: {reason}"] = None
                    continue
                for point in points:
                    reason = None if point.exemplars else _why_not(point)
                    if reason is not None:
                        rejected += 1
                        reasons[f"metric {metric.name[:200]!r}: {reason}"] = None
    response = ExportMetricsServiceResponse()
    if rejected:
        response.partial_success.rejected_data_points = rejected
        more = f"; and {count_of(len(reasons) - _REASONS, 'more reason')}" if len(reasons) > _REASONS else ""
        response.partial_success.error_message = "; ".join(list(reasons)[:_REASONS]) + more
    return response


def _why_not(point: Any) -> str | None:
    for attribute in point.attributes:
        if attribute.key == STEP:
            try:
                parse_step(value_of(attribute.value))
            except ValueError as error:
                return str(error)
        elif attribute.key == OVERFLOW:
            return "more attribute sets than the sender's cardinality limit; use fewer attributes"
    return None
