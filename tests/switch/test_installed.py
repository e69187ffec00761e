"""The start-up files are in what is installed, from a wheel or editable, and are harmless there."""

import importlib.metadata
import importlib.util
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

FILES = ("otel_wandb_bridge_start.pth", "otel_wandb_bridge_start.start")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="environments have other folders there")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel of the checkout; the build backend comes from PyPI, unless it is installed."""
    directory = tmp_path_factory.mktemp("wheel")
    root = Path(__file__).parents[2]
    command = ["-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    if importlib.util.find_spec("pip") is None:
        command = ["-m", "build", "--wheel"]
        where = ["--outdir", directory]
    else:
        where = ["--wheel-dir", directory]
    if importlib.util.find_spec("hatchling") is not None:
        command.append("--no-isolation" if "build" in command else "--no-build-isolation")
    made = subprocess.run(
        [sys.executable, *command, *where, root], capture_output=True, text=True, timeout=170
    )
    assert made.returncode == 0, made.stderr
    (path,) = directory.glob("*.whl")
    return path


def new_environment(directory):
    """An environment without pip; its Python, and the folder for packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True, timeout=60)
    (packages,) = directory.glob("lib/python*/site-packages")
    return directory / "bin/python", packages


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    """The Python of an environment with the wheel; what it depends on is that of this environment."""
    executable, packages = new_environment(tmp_path_factory.mktemp("installed") / "venv")
    with zipfile.ZipFile(wheel) as archive:  # all that an installer does with the wheel of pure Python
        archive.extractall(packages)
    # A folder that a .pth file names is searched, but its own .pth files (our editable one) are not read.
    (packages / "zzz_dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return executable


def test_the_wheel_has_the_start_up_files_beside_the_package(wheel, repository):
    """Where an installer puts them into site-packages, and an uninstaller finds them in RECORD."""
    with zipfile.ZipFile(wheel) as archive:
        (record,) = [name for name in archive.namelist() if name.endswith(".dist-info/RECORD")]
        recorded = [line.split(",")[0] for line in archive.read(record).decode().splitlines()]
        for name in FILES:
            assert (repository / "startup" / name).read_bytes() == archive.read(name)
            assert name in recorded


def test_this_installation_has_them_too(repository):
    """It is editable, most likely; reinstall it where it is older than they are."""
    found = {file.name: file.locate() for file in importlib.metadata.files("otel-wandb-bridge")}
    for name in FILES:
        assert (repository / "startup" / name).read_bytes() == Path(found[name]).read_bytes()
        assert Path(sysconfig.get_path("purelib")) == Path(found[name]).parent


def test_the_wheel_is_switched_on(installed, python):
    """With the real W&B, and nothing of this checkout."""
    code = """
    import wandb
    import otel_wandb_bridge
    from wandb import wandb_run
    print(otel_wandb_bridge.__file__)
    print(wandb_run.Run.log.__code__.co_filename)
    """
    said = python(code, on="1", args=["-E"], executable=installed).ended_well().lines
    package = next(installed.parents[1].glob("lib/python*/site-packages/otel_wandb_bridge"))
    assert [str(package / "__init__.py"), str(package / "wandb_step_fix/patch.py")] == said


def test_the_wheel_is_switched_off(installed, python):
    """Nothing of it is imported."""
    code = "import sys; print([name for name in sys.modules if 'wandb' in name or 'opentelemetry' in name])"
    assert ["[]"] == python(code, args=["-E"], executable=installed).ended_well().lines


@pytest.mark.parametrize("on", [None, "false", "true"])
def test_a_python_that_has_lost_the_package_still_starts(python, tmp_path, repository, on):
    """Its folder was deleted by hand, the start-up files were not."""
    executable, packages = new_environment(tmp_path / "venv")
    for name in FILES:
        (packages / name).write_bytes((repository / "startup" / name).read_bytes())
    ended = python("print('here')", on=on, args=["-E"], executable=executable)
    assert (0, ["here"]) == (ended.code, ended.lines)
    if on is None:
        assert "" == ended.err
    else:
        assert "ModuleNotFoundError: No module named 'otel_wandb_bridge'" in ended.err
