"""The entry points that OpenTelemetry's own start-up finds, for programs without a line of ours.

| module | found by |
|---|---|
| `exporter` | `OTEL_METRICS_EXPORTER=wandb`, and the name `wandb` in the file of `OTEL_CONFIG_FILE` |
| `instrumented` | `opentelemetry-instrument`, when it is done |
| `meter_provider` | `OTEL_PYTHON_METER_PROVIDER=wandb`, in programs that are not started by it |
| `resource` | `OTEL_EXPERIMENTAL_RESOURCE_DETECTORS=wandb`, and that file |
"""
