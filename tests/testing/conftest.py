import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

QUIET_OFFLINE = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_CONSOLE": "off"}


@pytest.fixture(scope="session")
def offline_process():
    """Run a Python script in a process of its own: a W&B file is whole only when its writer has exited."""

    def run(*arguments, input=None):
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            input=input,
            env={**os.environ, **QUIET_OFFLINE},
            stdout=subprocess.PIPE,
            check=True,
            timeout=120,
        ).stdout

    return run


@pytest.fixture(scope="session")
def real_run(offline_process, tmp_path_factory):
    """The public ``dir`` and ``id`` of a finished offline run; see write_a_run.py for what is in it."""
    script = Path(__file__).with_name("write_a_run.py")
    return SimpleNamespace(**json.loads(offline_process(script, tmp_path_factory.mktemp("real"))))


@pytest.fixture(scope="session")
def real_file(real_run):
    """The ``.wandb`` file of the real run."""
    return Path(real_run.dir).parent / f"run-{real_run.id}.wandb"
