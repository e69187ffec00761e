"""What a command needs beyond the package's own dependencies."""

from __future__ import annotations

import importlib.util

import click


def require(what: str, extra: str, *modules: str) -> None:
    """Say how to install what is missing.

    Raises:
        click.ClickException: with the command that installs it.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        verb = "need" if what.endswith("s") else "needs"
        raise click.ClickException(
            f'{what} {verb} {" and ".join(missing)}: pip install "otel-wandb-bridge[{extra}]"'
        )
