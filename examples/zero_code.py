"""A program that knows OpenTelemetry and W&B, and nothing of the bridge. Its metrics are in the run all the
same.

    export OTEL_METRICS_EXPORTER=wandb OTEL_TRACES_EXPORTER=none OTEL_LOGS_EXPORTER=none
    opentelemetry-instrument python examples/zero_code.py

Needs `pip install opentelemetry-distro`. The same with a file in place of the variables:

    OTEL_CONFIG_FILE=examples/otel.yaml opentelemetry-instrument python examples/zero_code.py
"""

import wandb
from opentelemetry import metrics

meter = metrics.get_meter("trainer")
loss, tokens = meter.create_gauge("loss"), meter.create_counter("tokens")

wandb.init(project="zero-code")
for step in range(50):
    loss.set(1 / (step + 1), {"step": step})
    tokens.add(4096, {"step": step})
