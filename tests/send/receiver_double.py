"""A receiver of OTLP/HTTP in a few lines: parses what comes, and answers as it is told."""

import gzip
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)


class ReceiverDouble:
    """What came, and how to answer."""

    def __init__(self):
        self.requests = []
        self.bodies = []
        self.headers = []
        self.answers = []
        self.answer = 200
        self.endpoint = ""
        self.came = threading.Condition()

    def take(self, headers, body):
        """Returns the status to answer with."""
        with self.came:
            status = self.answers.pop(0) if self.answers else self.answer
            if callable(status):
                status = status(body)
            if status == 200:
                self.headers.append(headers)
                self.bodies.append(body)
                self.requests.append(ExportMetricsServiceRequest.FromString(body))
            self.came.notify_all()
        return status

    def wait_for(self, condition, timeout=20):
        """Wait until what has come fulfils a condition."""
        with self.came:
            assert self.came.wait_for(lambda: condition(self), timeout)

    def points(self):
        """Resource attributes, scope name, metric and data point of all that came."""
        for request in self.requests:
            for resource_metrics in request.resource_metrics:
                resource = attributes_of(resource_metrics.resource.attributes)
                for scope_metrics in resource_metrics.scope_metrics:
                    for metric in scope_metrics.metrics:
                        for point in getattr(metric, metric.WhichOneof("data")).data_points:
                            yield resource, scope_metrics.scope.name, metric, point

    def samples(self, name):
        """(step, value) of each exemplar of a metric that carries a measurement."""
        found = []
        for _, _, metric, point in self.points():
            if metric.name != name:
                continue
            for exemplar in point.exemplars:
                attributes = attributes_of(exemplar.filtered_attributes)
                step = attributes.get("wandb.step")
                if step is not None and step is not True:
                    value = exemplar.as_double if exemplar.HasField("as_double") else exemplar.as_int
                    found.append((step, value))
        return found


def attributes_of(pairs):
    """Attributes as a dict."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextmanager
def receiving(double=None):
    """Serve a double on a free port of the loopback."""
    double = double or ReceiverDouble()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            status = double.take(dict(self.headers), body)
            answer = ExportMetricsServiceResponse().SerializeToString()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    double.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
