"""The command line: `otel-wandb`."""

from __future__ import annotations

import click

from otel_wandb_bridge.cli.demo import demo
from otel_wandb_bridge.cli.doctor import doctor
from otel_wandb_bridge.cli.inspect import inspect
from otel_wandb_bridge.cli.serve import serve

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="otel-wandb-bridge", prog_name="otel-wandb")
def main() -> None:
    """OpenTelemetry metrics to Weights & Biases: one merged row for each training step."""


main.add_command(demo)
main.add_command(doctor)
main.add_command(inspect)
main.add_command(serve)
