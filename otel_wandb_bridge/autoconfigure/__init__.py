"""The entry points that OpenTelemetry's own start-up finds, for programs without a line of ours.

`exporter` is for `OTEL_METRICS_EXPORTER=wandb`, and for the name `wandb` in the file of `OTEL_CONFIG_FILE`.
"""
