"""One provider feeds W&B, Prometheus and OTLP at once; and instrumentations that know no step."""

import importlib.metadata
import importlib.util

import pytest

SDK = tuple(map(int, importlib.metadata.version("opentelemetry-sdk").split(".")[:2]))
HAS_OTLP = importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None

TRAIN = """
from otel_wandb_bridge import step_views


def train(provider, steps=range(60)):
    meter = provider.get_meter("trainer")
    loss, tokens = meter.create_gauge("loss"), meter.create_counter("tokens")
    latency = meter.create_histogram("latency")
    for step in steps:
        loss.set(step / 2, {"step": step})
        tokens.add(10, {"step": step, "priority": 0})
        with training_step(step):
            latency.record(step)
            latency.record(step + 1, {"kind": "long"})


def rows_of_their_own(**more):
    run = wandb.init(project="demo", id="alone")
    provider = new_provider(WandbMetricExporter(run), **more)
    train(provider)
    run.finish()
"""


def comparable(rows):
    """Rows less what differs from run to run."""
    return [{key: value for key, value in row.items() if key[0] != "_" or key == "_step"} for row in rows]


@pytest.mark.skipif(not HAS_OTLP, reason="an OTLP exporter of 1.28 cannot encode exemplars without a span")
def test_prometheus_and_otlp_beside_wandb(run_script):
    """No label for step or priority, no series for each step; the rows are the same as alone."""
    ended = run_script(
        TRAIN
        + """
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client import start_http_server

rows_of_their_own(views=step_views())
received = []


class Collector(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        received.append(ExportMetricsServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args):
        pass


collector = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
threading.Thread(target=collector.serve_forever, daemon=True).start()
prometheus, _ = start_http_server(0, addr="127.0.0.1")


def scraped():
    with urllib.request.urlopen(f"http://127.0.0.1:{prometheus.server_port}/metrics") as page:
        lines = page.read().decode().splitlines()
    return sorted(
        line.rsplit(" ", 1)[0] for line in lines if line.startswith(("loss", "tokens", "latency"))
    )


run = wandb.init(project="demo", id="among")
otlp = OTLPMetricExporter(f"http://127.0.0.1:{collector.server_port}/v1/metrics")
provider = MeterProvider(
    [
        PeriodicExportingMetricReader(WandbMetricExporter(run), export_interval_millis=NEVER),
        PrometheusMetricReader(),
        PeriodicExportingMetricReader(otlp, export_interval_millis=NEVER),
    ],
    views=step_views(),
)
train(provider, range(5))
after_five = scraped()
train(provider, range(5, 60))
after_sixty = scraped()
run.finish()
provider.force_flush()
points = [
    (metric.name, sorted(attribute.key for attribute in point.attributes))
    for resource in received[-1].resource_metrics
    for scope in resource.scope_metrics
    for metric in scope.metrics
    for point in getattr(metric, metric.WhichOneof("data")).data_points
]
provider.shutdown()
collector.shutdown()
report(after_five=after_five, after_sixty=after_sixty, otlp=sorted(points))
"""
    ).ended_well()
    (seen,) = ended.reports
    assert seen["after_five"] == seen["after_sixty"]
    assert seen["after_five"]
    assert not [line for line in seen["after_sixty"] if "step" in line or "priority" in line]
    assert [["latency", []], ["latency", ["kind"]], ["loss", []], ["tokens", []]] == seen["otlp"]
    assert 60 == len(ended.runs["among"].rows)
    assert comparable(ended.runs["alone"].rows) == comparable(ended.runs["among"].rows)


@pytest.mark.skipif(SDK < (1, 43), reason="a reader cannot be added to a provider before 1.43")
def test_a_reader_is_added_to_a_running_global_provider_with_views_of_its_own(run_script):
    """What was measured before, and how the application wants its series, stays as it is."""
    ended = run_script(
        TRAIN
        + """
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View

theirs = InMemoryMetricReader()
views = [
    View(instrument_name="latency", attribute_keys={"kind"}),
    View(instrument_name="queue", name="renamed"),
]
metrics.set_meter_provider(MeterProvider([theirs], views=[*views, *step_views()]))
meter = metrics.get_meter("application")
queue = meter.create_up_down_counter("queue")
queue.add(3)

run = wandb.init(project="demo", id="joined")
reader = PeriodicExportingMetricReader(WandbMetricExporter(run), export_interval_millis=NEVER)
metrics.get_meter_provider().add_metric_reader(reader)
train(metrics.get_meter_provider())
queue.add(2, {"step": 59})
run.finish()
series = sorted(
    [metric.name, sorted(point.attributes)]
    for resource in theirs.get_metrics_data().resource_metrics
    for scope in resource.scope_metrics
    for metric in scope.metrics
    for point in metric.data.data_points
    if scope.scope.name in ("trainer", "application")
)
report(series=series)
"""
    ).ended_well()
    run = ended.runs["joined"]
    assert {step: step / 2 for step in range(60)} == run.series("loss")
    assert {step: 10 * (step + 1) for step in range(60)} == run.series("tokens")
    assert {step: step + 1 for step in range(60)} == run.series("latency/kind_long/max")
    assert {59: 2} == run.series("renamed")  # what was added before we came is not ours
    (seen,) = ended.reports
    expected = [["latency", []], ["latency", ["kind"]], ["loss", []], ["tokens", []]]
    assert expected == [pair for pair in seen["series"] if pair[0] != "renamed"]


def test_system_metrics_land_on_the_step_that_is_current(run_script):
    """The real instrumentation: it knows of processes, and of no step."""
    ended = run_script(
        """
        from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor

        run = wandb.init(project="demo")
        bridge = configure(run, export_interval_millis=NEVER)
        SystemMetricsInstrumentor(config={"system.memory.usage": ["used"]}).instrument()
        loss = metrics.get_meter("trainer").create_gauge("loss")
        for step in (3, 4, 5):
            set_step(step)
            loss.set(0.5)
            bridge.force_flush()
        report(**{"stats": bridge.stats().pending})
        """
    ).ended_well()
    used = ended.run.series("system/memory/usage/state_used")
    assert [3, 4, 5] == [*used]
    assert all(value > 1_000_000 for value in used.values())
    assert [3, 4, 5] == ended.run.steps()
