"""What is said where a framework is not installed."""

from __future__ import annotations


def needs(framework: str, extra: str, error: ImportError) -> ImportError:
    """An error that names the framework and the command that installs it; raise it from `error`."""
    return ImportError(
        f"this adapter needs {framework}, which cannot be imported ({error}): "
        f'pip install "otel-wandb-bridge[{extra}]"',
        name=error.name,
    )
