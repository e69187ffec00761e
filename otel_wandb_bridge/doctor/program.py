"""A script is run as `python SCRIPT` runs it, and judged when all that it recorded was written."""

import runpy
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..exporter import keep_exporters, living_exporters
from ..send import keep_senders, living_senders
from ..write import active_run, before_finish
from .counts import look_at_counts
from .environment import look_at_environment
from .finding import TROUBLE, Finding
from .installation import look_at_installation
from .process import look_at_process, open_exporters
from .thrown_away import look_at_dropped_calls, wait_for_service
from .worker import look_at_worker

_OF_A_BRIDGE = ("meter provider", "run")


def look_at_program(script: Path, arguments: Sequence[str]) -> list[Finding]:
    """Run a script, and look into it: how it was set up, and what became of all that it recorded.

    Args:
        script: Its file.
        arguments: What it finds in `sys.argv`, after its name.
    """
    findings = [*look_at_installation(), *look_at_environment()]
    keep_exporters()
    keep_senders()
    setup = _Setup()
    take_off = before_finish(setup.look, only_looks=True)
    sys.argv = [str(script), *arguments]
    sys.path[0] = str(script.parent)
    try:
        failure = _failure_of(script)
        setup.look_at_the_end()
    finally:
        take_off()
    findings.extend(setup.findings_of(failure))
    findings.extend(_judged())
    open_run = active_run()
    if open_run is not None:
        wait_for_service(open_run)
    return [*findings, *look_at_dropped_calls(setup.runs.values()), *([] if failure is None else [failure])]


class _Setup:
    """How the program is set up, as seen when its runs are about to finish, until there is a bridge."""

    def __init__(self) -> None:
        self.runs: dict[int, Any] = {}
        self._findings: list[Finding] = []
        self._has_bridge = False

    def look(self, run: Any = None) -> None:
        """Look, unless a bridge was seen already."""
        run = active_run() if run is None else run
        if run is not None:
            self.runs[id(run)] = run
        if not self._has_bridge:
            self._has_bridge = bool(open_exporters())
            self._findings = list(look_at_process())

    def look_at_the_end(self) -> None:
        """Look once more where a run is open, or there was none."""
        if active_run() is not None or not self.runs or living_exporters():
            self.look()

    def findings_of(self, failure: Finding | None) -> list[Finding]:
        """All of it; of a program that failed before it had a bridge, not that there is none."""
        if failure is None or living_exporters() or living_senders():
            return self._findings
        return [each for each in self._findings if each.about not in _OF_A_BRIDGE]


def _failure_of(script: Path) -> Finding | None:
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        if end.code:
            return Finding("program", TROUBLE, f"it ended with exit code {end.code}")
    except Exception as error:
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename != str(script):
            frames = frames.tb_next
        traceback.print_exception(type(error), error, frames)
        return Finding("program", TROUBLE, f"it ended with {error!r}", "see the traceback")
    return None


def _judged() -> list[Finding]:
    exporters = living_exporters()
    for exporter in exporters:
        if not exporter.is_shut_down:
            exporter.commit_everything()
    findings = list(look_at_counts([exporter.stats() for exporter in exporters], is_over=True))
    for sender in living_senders():
        findings.extend(look_at_worker(sender, is_over=True))
    return findings
