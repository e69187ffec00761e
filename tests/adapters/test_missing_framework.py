"""An adapter whose framework is not installed says which, and the command that installs it."""

import subprocess
import sys

import pytest

BLOCKED = (
    "import sys; sys.modules.update(dict.fromkeys({names!r})); import otel_wandb_bridge.adapters.{adapter}"
)


@pytest.mark.parametrize(
    ("adapter", "names", "extra"),
    [
        ("transformers", ["transformers"], "transformers"),
        ("lightning", ["lightning", "lightning.pytorch", "pytorch_lightning"], "lightning"),
        ("accelerate", ["accelerate", "accelerate.tracking"], "accelerate"),
        ("torchelastic", ["torch"], "torch"),
    ],
)
def test_a_missing_framework_is_named_with_the_command_that_installs_it(adapter, names, extra):
    """At the import of the adapter, and nowhere before."""
    code = BLOCKED.format(names=names, adapter=adapter)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f'pip install "otel-wandb-bridge[{extra}]"' in done.stderr.splitlines()[-1]
    assert "ImportError: this adapter needs" in done.stderr.splitlines()[-1]


def test_the_backend_for_verl_needs_nothing_of_it():
    """A backend is whatever has `log(data, step)`."""
    from otel_wandb_bridge.adapters.verl import TrackingBackend

    assert callable(TrackingBackend.log)
