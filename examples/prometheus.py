"""Prometheus beside W&B: the same instruments, and no label for the step.

    python examples/prometheus.py

Needs `pip install opentelemetry-exporter-prometheus`.
"""

import urllib.request

import wandb
from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from prometheus_client import start_http_server

from otel_wandb_bridge import configure, training_step

server, _ = start_http_server(0, addr="127.0.0.1")  # a fixed port in earnest: Prometheus has to know it
run = wandb.init(project="prometheus")
configure(run, extra_readers=[PrometheusMetricReader()])
reward = metrics.get_meter("reward").create_gauge("reward.mean")

for step in range(100):
    with training_step(step):
        reward.set(step / 100, {"task": "math" if step % 2 else "code"})

with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as scraped:
    for line in scraped.read().decode().splitlines():
        if line.startswith("reward_mean"):
            print(line)  # two series, after a hundred steps

run.finish()
