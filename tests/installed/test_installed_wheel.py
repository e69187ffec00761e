"""What `make wheel` has built."""

import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_the_package_and_no_tests(wheel):
    """With its licence, its types, and the start-up files of the switch."""
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    starts = {"otel_wandb_bridge_start.pth", "otel_wandb_bridge_start.start"}
    (info,) = (top for top in tops if top.endswith(".dist-info"))
    assert {"otel_wandb_bridge", info, *starts} == tops
    assert {"otel_wandb_bridge/py.typed", f"{info}/licenses/LICENSE"} <= set(names)
    assert not [name for name in names if "test_" in name or "/tests/" in name or name.endswith(".pyc")]


def test_the_metadata_says_what_people_look_for(wheel):
    """Licence by its SPDX expression, classifiers, the extras that the README names, the lowest Python."""
    archive = zipfile.ZipFile(wheel)
    (name,) = (each for each in archive.namelist() if each.endswith("METADATA"))
    metadata = archive.read(name).decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.10" in metadata
    assert "Classifier: Typing :: Typed" in metadata
    for extra in ("demo", "inspect", "receiver", "grpc", "transformers", "lightning", "accelerate", "torch"):
        assert f"Provides-Extra: {extra}" in metadata


def test_the_source_distribution_can_be_tested():
    """It holds the tests, the docs and what runs them."""
    (sdist,) = (ROOT / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"tests/conftest.py", "docs/index.md", "mkdocs.yml", "Makefile", "CHANGELOG.md"} <= names


def test_an_extra_that_is_missing_is_named_with_its_command(run):
    """Where a command needs more than the package."""
    assert 0 == run("WANDB_STEP_FIX_ENABLED=true python train.py").returncode
    done = run("otel-wandb inspect --png run.png")
    assert (1, True) == (done.returncode, 'pip install "otel-wandb-bridge[inspect]"' in done.stderr)
