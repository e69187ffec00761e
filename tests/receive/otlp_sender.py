"""Requests as senders make them, and real connections to a receiver."""

import gzip
import http.client
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND


def request_of(*metrics, instance="a", scope="trainer", **resource):
    """A request with metrics of one process."""
    request = ExportMetricsServiceRequest()
    resource_metrics = request.resource_metrics.add()
    attributes = {"service.name": "job", "service.instance.id": instance, **resource}
    for key, value in attributes.items():
        attribute = resource_metrics.resource.attributes.add(key=key)
        set_value(attribute.value, value)
    scope_metrics = resource_metrics.scope_metrics.add()
    scope_metrics.scope.name = scope
    for metric in metrics:
        scope_metrics.metrics.add().CopyFrom(metric)
    return request


def set_value(message, value):
    """Put a Python value into an `AnyValue`."""
    kind = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}[type(value)]
    setattr(message, kind, value)


def gauge_of(name, values, *, time=NOW, **attributes):
    """A gauge whose data point carries values by step, as exemplars of a keep-all reservoir."""
    metric = Metric(name=name)
    point = metric.gauge.data_points.add(time_unix_nano=time, as_double=0.0)
    for key, value in attributes.items():
        set_value(point.attributes.add(key=key).value, value)
    for number, (step, value) in enumerate(values.items()):
        exemplar = point.exemplars.add(time_unix_nano=time - SECOND + number, as_double=value)
        exemplar.filtered_attributes.add(key="wandb.step").value.int_value = step
    return metric


@dataclass
class Answer:
    """What a server answers."""

    status: int
    headers: dict
    body: bytes

    def message(self):
        """The response of a success."""
        assert 200 == self.status, self.body
        return ExportMetricsServiceResponse.FromString(self.body)

    def json(self):
        """The body of an answer in JSON."""
        return json.loads(self.body)


def send(endpoint, body, *, media_type=PROTOBUF, path="/v1/metrics", method="POST", context=None, **headers):
    """One request over a connection of its own."""
    url = urlsplit(endpoint)
    if url.scheme == "https":
        connection = http.client.HTTPSConnection(url.hostname, url.port, timeout=20, context=context)
    else:
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"content-type": media_type, **named})
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def post(receiver, request, **more):
    """Export a request by HTTP, in protobuf."""
    return send(receiver.endpoint, request.SerializeToString(), **more)


def post_gzip(receiver, body, **more):
    """Export bytes by HTTP, compressed."""
    return send(receiver.endpoint, gzip.compress(body), content_encoding="gzip", **more)


def series(run, key):
    """Step to value, of the rows that have the key."""
    return {row["global_step"]: row[key] for row in run.rows if key in row}
