import subprocess
import sys

from otel_wandb_bridge import testing


def test_the_public_names_are_sorted_and_there():
    """What is promised can be imported."""
    assert sorted(testing.__all__) == testing.__all__
    assert all(hasattr(testing, name) for name in testing.__all__)


def test_importing_the_helpers_does_not_import_wandb():
    """Unless the package around them already has."""
    script = (
        "import sys, otel_wandb_bridge as package; before = 'wandb' in sys.modules;"
        "import otel_wandb_bridge.testing; assert before or 'wandb' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
