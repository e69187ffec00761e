"""Python in processes of its own, with the switch of `wandb_step_fix` in their environment."""

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

SURROUNDINGS = {
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "WANDB_CONSOLE": "off",
    "WANDB_ERROR_REPORTING": "false",
}


@dataclass(frozen=True)
class Ended:
    """What a process has said."""

    code: int
    out: str
    err: str

    def ended_well(self):
        """Fails unless it ended with 0 and complained of nothing; returns itself."""
        assert (0, "") == (self.code, self.err)
        return self

    @property
    def lines(self):
        return self.out.splitlines()


@pytest.fixture
def python(tmp_path):
    """Run code in a Python of its own; `on` is the value of the switch, None: unset."""

    def run(code="", *, on=None, args=(), env=None, executable=sys.executable, timeout=60.0):
        surroundings = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_STEP_FIX_")}
        surroundings |= {**SURROUNDINGS, **(env or {})}
        if on is not None:
            surroundings["WANDB_STEP_FIX_ENABLED"] = on
        if code:
            (tmp_path / "program.py").write_text(textwrap.dedent(code))
            args = (*args, "program.py")
        ended = subprocess.run(
            [executable, *args],
            cwd=tmp_path,
            env=surroundings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return run


@pytest.fixture
def repository():
    """The root of the checkout."""
    return Path(__file__).parents[2]
