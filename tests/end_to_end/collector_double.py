"""Stands for an OpenTelemetry Collector, of which there is no binary in these tests.

It does what the Collector's documentation says that a Collector may do: it acknowledges a request that is in
its queue, and passes it on later: compressed, merged with others or split, in another order, again where it
got no answer. It leaves data points and exemplars as they are.
"""

import gzip
import random
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)


def as_they_came(requests):
    """One after the other."""
    return list(requests)


def merged(requests):
    """As the `batch` processor and the queue's batches do: many requests in one."""
    whole = ExportMetricsServiceRequest()
    for request in requests:
        whole.resource_metrics.extend(request.resource_metrics)
    return [whole]


def split(requests):
    """As `send_batch_max_size` does: a data point each."""
    parts = []
    for request in requests:
        for resource_metrics in request.resource_metrics:
            for scope_metrics in resource_metrics.scope_metrics:
                for metric in scope_metrics.metrics:
                    kind = metric.WhichOneof("data")
                    for point in getattr(metric, kind).data_points:
                        part = ExportMetricsServiceRequest()
                        resource = part.resource_metrics.add()
                        resource.resource.CopyFrom(resource_metrics.resource)
                        scope = resource.scope_metrics.add()
                        scope.scope.CopyFrom(scope_metrics.scope)
                        alone = scope.metrics.add()
                        alone.CopyFrom(metric)
                        del getattr(alone, kind).data_points[:]
                        getattr(alone, kind).data_points.append(point)
                        parts.append(part)
    return parts


def reordered(requests):
    """As several consumers of a queue, and retries, do."""
    shuffled = list(requests)
    random.Random(7).shuffle(shuffled)
    return shuffled


def repeated(requests):
    """As retries after a lost answer do; some of them merged with what came since."""
    return [*requests, *requests, *merged(requests)]


def everything_at_once(requests):
    """Split, repeated and out of order."""
    return reordered(repeated(split(requests)))


BEHAVIOURS = (as_they_came, merged, split, reordered, repeated, everything_at_once)


def pass_on(requests, url):
    """Send requests compressed, each until it is acknowledged, as long as that takes."""
    for request in requests:
        body = gzip.compress(request.SerializeToString())
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
        while True:
            try:
                with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30) as answer:
                    assert 200 == answer.status
                    break
            except urllib.error.HTTPError as refused:
                if refused.code != 503:
                    raise
                time.sleep(float(refused.headers["Retry-After"]))


@contextmanager
def collecting():
    """A Collector that keeps what it is sent: yields its base URL, and its queue."""
    queue = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            queue.append(ExportMetricsServiceRequest.FromString(body))
            answer = ExportMetricsServiceResponse().SerializeToString()
            self.send_response(200)
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
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", queue
    finally:
        server.shutdown()
        server.server_close()
