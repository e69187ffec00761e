"""`otel-wandb doctor`: what is set up, and what is wrong with it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from otel_wandb_bridge.doctor import Finding

_COLOURS = {"fine": "green", "note": "yellow", "trouble": "bold red"}


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON, and all else on stderr.")
@click.argument("script", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def doctor(as_json: bool, script: Path | None, arguments: Sequence[str]) -> None:
    """Say what is set up and what is wrong with it, each with its mend.

    Without a SCRIPT it looks at the installation and the environment. With one, it runs the script with its
    ARGUMENTS, looks into it when a run is about to finish, else when it ends, and counts what was lost when
    all of it was written. Options go before the SCRIPT: what stands after it is the script's. The exit code
    is 1 where there is trouble, or where the script fails.
    """
    output = sys.stdout
    if script is None:
        from otel_wandb_bridge.doctor.environment import look_at_environment
        from otel_wandb_bridge.doctor.installation import look_at_installation

        findings: list[Finding] = [*look_at_installation(), *look_at_environment()]
    else:
        from otel_wandb_bridge.doctor.program import look_at_program

        if as_json:
            output = _stdout_apart()
        findings = look_at_program(script, arguments)
    if as_json:
        click.echo(json.dumps([_plain(finding) for finding in findings], indent=2), file=output)
    else:
        Console().print(table(findings))
    if any(finding.state == "trouble" for finding in findings):
        sys.exit(1)


def table(findings: Sequence[Finding]) -> Table:
    """The findings, the mend below each."""
    result = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    result.add_column(no_wrap=True)
    result.add_column(no_wrap=True)
    result.add_column(overflow="fold")
    for finding in findings:
        text = Text(finding.text)
        if finding.mend:
            text.append(f"\n-> {finding.mend}", style="bold")
        result.add_row(Text(finding.state, style=_COLOURS[finding.state]), finding.about, text)
    return result


def _stdout_apart() -> TextIO:
    """Standard output for us alone: whatever else is printed from now on, to the very end, is on stderr.

    The file itself is exchanged, and not put back: children of the script write to it, too, and W&B when we
    are done.
    """
    sys.stdout.flush()
    apart = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return apart


def _plain(finding: Finding) -> dict[str, str]:
    return {
        "about": finding.about,
        "state": finding.state,
        "text": finding.text,
        "mend": finding.mend,
    }
