"""What the doctor finds of a script."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from otel_wandb_bridge.doctor import Finding


@pytest.fixture
def examine(tmp_path):
    """Findings of `otel-wandb doctor SCRIPT`, by what they are about."""

    def examine(source, code=0, **variables):
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(source))
        done = subprocess.run(
            [sys.executable, "-c", RUN, "doctor", "--json", str(script), "--lr", "1"],
            cwd=tmp_path,
            env={**os.environ, "WANDB_MODE": "offline", "WANDB_SILENT": "true", **variables},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert code == done.returncode, done.stderr + done.stdout
        found = {}
        for each in json.loads(done.stdout):
            found.setdefault(each["about"], Finding(**each))
        return found

    return examine


RUN = "from otel_wandb_bridge.cli import main; main()"
