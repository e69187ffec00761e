"""The tests on every Python of the machine, with the lowest and the latest versions of what they depend on.

    nox                                   all of it
    nox -s "tests-3.13(latest)"           one of it
    nox -s "tests-3.10(lowest)" -- tests/record

`make test` and `make lowest` are the same on one Python; CI runs these.
"""

import pathlib
import tempfile

import nox

nox.options.error_on_missing_interpreters = False
nox.options.default_venv_backend = "uv|venv"  # uv where it is there: pip may take minutes

FIRST_WHEELS = {
    "3.12": {"numpy": "1.26.0", "matplotlib": "3.8.0", "pillow": "10.1.0"},
    "3.13": {"numpy": "2.1.0", "matplotlib": "3.9.3", "pillow": "11.0.0"},
}
"""Of what has no wheel for a later Python in the version that is pinned, the first that has one."""


@nox.session(python=["3.10", "3.11", "3.12", "3.13"])
@nox.parametrize("versions", ["lowest", "latest"], ids=["lowest", "latest"])
def tests(session: nox.Session, versions: str) -> None:
    """The whole suite, or what stands behind `--`."""
    which = session.posargs or ["--numprocesses", "2", "--dist", "loadfile"]
    if session.venv_backend == "venv":  # that of Python 3.10 searches for very long
        session.run("python", "-m", "pip", "install", "--quiet", "--upgrade", "pip")
    if versions == "latest":
        session.install("--editable", ".[dev]")
        session.run("python", "-m", "pytest", *which)
        return
    session.install("--editable", ".[test]", "--constraint", str(_lowest(session.python)))
    if session.python in FIRST_WHEELS:
        # In an environment without setuptools, wandb 0.18 cannot be imported there: it wants distutils.
        which = ["--deselect=tests/switch/test_installed.py::test_the_wheel_is_switched_on", *which]
    session.run("python", "-m", "pytest", "@tests/lowest_leaves_out.txt", *which)


@nox.session(python=["3.14t"])
def free_threaded(session: nox.Session) -> None:
    """The same without the interpreter lock, where such a Python is installed."""
    session.install("--editable", ".[test]")
    which = session.posargs or ["--numprocesses", "2", "--dist", "loadfile"]
    session.run("python", "-m", "pytest", *which, env={"PYTHON_GIL": "0"})


def _lowest(python: str) -> pathlib.Path:
    pins = pathlib.Path("tests/lowest.txt")
    first = FIRST_WHEELS.get(python, {})
    lines = [line.partition("==") for line in pins.read_text().splitlines()]
    made = pathlib.Path(tempfile.mkdtemp()) / pins.name
    made.write_text("\n".join(name + equals + first.get(name, version) for name, equals, version in lines))
    return made
