"""Tracing, metrics and W&B set up in one place: a point on a chart leads to its trace, a trace to the run.

python examples/tracing.py
"""

import wandb
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from otel_wandb_bridge import WandbMetricExporter, run_resource, step_views, training_step


def set_up_telemetry(run):
    """What most programs have somewhere already; the lines for W&B are those with `run`."""
    resource = Resource.create({"service.name": "trainer"}).merge(run_resource(run))
    tracer_provider = TracerProvider(resource=resource)
    tracer_provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
    trace.set_tracer_provider(tracer_provider)
    exporter = WandbMetricExporter(run, trace_ids=True)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=2000)
    metrics.set_meter_provider(MeterProvider([reader], resource=resource, views=step_views()))


run = wandb.init(project="tracing")
set_up_telemetry(run)
tracer = trace.get_tracer("trainer")
loss = metrics.get_meter("trainer").create_gauge("loss")

for step in range(5):
    with training_step(step), tracer.start_as_current_span("training step"):
        loss.set(1 / (step + 1))  # the row has the key `trace_id`, too

run.finish()
