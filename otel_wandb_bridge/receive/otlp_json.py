"""OTLP in JSON: ProtoJSON, but for ids in hexadecimal (OTLP specification, "JSON Protobuf Encoding")."""

import base64
import binascii
import json
from typing import Any

from google.protobuf.json_format import MessageToJson, ParseDict
from google.protobuf.message import Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

_IDS = ("traceId", "spanId")
_DATA = ("gauge", "sum", "histogram", "exponentialHistogram")


def request_of_json(body: bytes) -> ExportMetricsServiceRequest:
    """The message in a JSON body; fields that are not known are ignored.

    Raises:
        ValueError: saying what is wrong with it.
    """
    try:
        document = json.loads(body)
        if not isinstance(document, dict):
            raise ValueError(f"an object is expected; got {type(document).__name__}")
        _ids_in_base64(document)
        return ParseDict(document, ExportMetricsServiceRequest(), ignore_unknown_fields=True)
    except RecursionError:
        raise ValueError("the JSON is nested too deep") from None
    except Exception as error:  # the JSON reader of protobuf raises what it comes upon
        raise ValueError(f"the body is no ExportMetricsServiceRequest in JSON: {str(error)[:200]}") from None


def json_of(message: Message) -> bytes:
    """A response in JSON."""
    return MessageToJson(message, indent=None).encode()


def _ids_in_base64(document: dict[str, Any]) -> None:
    for resource_metrics in _objects(document, "resourceMetrics"):
        for scope_metrics in _objects(resource_metrics, "scopeMetrics"):
            for metric in _objects(scope_metrics, "metrics"):
                for data in (metric.get(kind) for kind in _DATA):
                    for point in _objects(data, "dataPoints"):
                        for exemplar in _objects(point, "exemplars"):
                            for name in _IDS:
                                if isinstance(exemplar.get(name), str):
                                    exemplar[name] = _base64(exemplar[name])


def _objects(parent: Any, name: str) -> list[dict[str, Any]]:
    children = parent.get(name) if isinstance(parent, dict) else None
    return [child for child in children if isinstance(child, dict)] if isinstance(children, list) else []


def _base64(text: str) -> str:
    try:
        return base64.b64encode(binascii.unhexlify(text)).decode()
    except ValueError:
        raise ValueError(f"an id is hexadecimal; got {text[:40]!r}") from None
