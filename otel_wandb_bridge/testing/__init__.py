"""Helpers for testing code that logs to W&B: a run in memory, a clock, and readers of what a run wrote."""

from otel_wandb_bridge.testing.clock import FakeClock
from otel_wandb_bridge.testing.fake_run import FakeRun
from otel_wandb_bridge.testing.wandb_file import read_config, read_records, read_rows, read_summary

__all__ = ["FakeClock", "FakeRun", "read_config", "read_records", "read_rows", "read_summary"]
