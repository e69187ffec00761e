"""`otel-wandb doctor`: what is set up, and what is wrong with it."""

from __future__ import annotations

import json
import runpy
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from otel_wandb_bridge.doctor import Finding

_COLOURS = {"fine": "green", "note": "yellow", "trouble": "bold red"}


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.argument("script", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def doctor(as_json: bool, script: Path | None, arguments: Sequence[str]) -> None:
    """Say what is set up and what is wrong with it, each with its mend.

    Without a SCRIPT it looks at the installation and the environment. With one, it runs the script with its
    ARGUMENTS and looks into it when its first run is about to finish, else when it ends. The exit code is 1
    where there is trouble, or where the script fails.
    """
    if script is None:
        from otel_wandb_bridge.doctor.environment import look_at_environment
        from otel_wandb_bridge.doctor.installation import look_at_installation

        findings: list[Finding] = [*look_at_installation(), *look_at_environment()]
    else:
        findings = _of_script(script, arguments)
    if as_json:
        click.echo(json.dumps([_plain(finding) for finding in findings], indent=2))
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


def _of_script(script: Path, arguments: Sequence[str]) -> list[Finding]:
    """Run a script as `python SCRIPT ARGUMENTS` does, and look into it."""
    from otel_wandb_bridge.doctor import TROUBLE, Finding
    from otel_wandb_bridge.doctor.environment import look_at_environment
    from otel_wandb_bridge.doctor.installation import look_at_installation
    from otel_wandb_bridge.doctor.process import look_at_process
    from otel_wandb_bridge.doctor.thrown_away import look_at_dropped_calls, wait_for_service
    from otel_wandb_bridge.write import active_run, before_finish

    findings: list[Finding] = []
    looked: list[bool] = []
    runs: dict[int, Any] = {}

    def look(run: Any = None) -> None:
        run = active_run() if run is None else run
        if run is not None:
            runs[id(run)] = run
        if not looked:
            looked.append(True)
            findings.extend((*look_at_installation(), *look_at_environment(), *look_at_process()))

    take_off = before_finish(look, only_looks=True)
    sys.argv = [str(script), *arguments]
    sys.path[0] = str(script.parent)
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        if end.code:
            findings.append(Finding("program", TROUBLE, f"it ended with exit code {end.code}"))
    except Exception as error:
        traceback.print_exc()
        findings.append(Finding("program", TROUBLE, f"it ended with {error!r}", "see the traceback"))
    finally:
        look()
        take_off()
    open_run = active_run()
    if open_run is not None:
        wait_for_service(open_run)
    findings.extend(look_at_dropped_calls(runs.values()))
    return findings


def _plain(finding: Finding) -> dict[str, str]:
    return {
        "about": finding.about,
        "state": finding.state,
        "text": finding.text,
        "mend": finding.mend,
    }
