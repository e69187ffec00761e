"""A meter provider of your own: the exporter is one more reader of it.

python examples/own_provider.py
"""

import wandb
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation

from otel_wandb_bridge import WandbMetricExporter, step_view, step_views, training_step

run = wandb.init(project="own-provider")
reader = PeriodicExportingMetricReader(WandbMetricExporter(run), export_interval_millis=2000)
provider = MeterProvider(
    [reader],
    views=[
        # In place of `View(…)`, so that each measurement keeps its step.
        step_view(instrument_name="latency", aggregation=ExponentialBucketHistogramAggregation()),
        *step_views(),
    ],
)
meter = provider.get_meter("trainer")
loss, tokens = meter.create_gauge("loss"), meter.create_counter("tokens")
latency = meter.create_histogram("latency", unit="s")

for step in range(20):
    with training_step(step):
        loss.set(1 / (step + 1))
        tokens.add(4096)
        for request in range(8):
            latency.record(0.01 * (request + 1))

run.finish()
