"""The promises of the package as a whole: who imports whom, which names are public, which versions."""

import ast
import inspect
import re
import sys
from pathlib import Path

import pytest

import otel_wandb_bridge
from otel_wandb_bridge import Bridge, WandbMetricExporter, configure

ROOT = Path(otel_wandb_bridge.__file__).parent
REPOSITORY = ROOT.parent
MODULES = sorted(path for path in ROOT.rglob("*.py") if "_grpo" not in path.name)

LAYERS = {
    "records": set(),
    "runtime": set(),
    "sources": set(),
    "descriptive": set(),
    "attributes": {"records", "sources"},
    "flush.entrance": {"records"},
    "flush.deferral": {"records"},
    "flush.entrances": {"flush.entrance", "flush.pipeline", "reconcile", "records", "runtime"},
    "patterns": set(),
    "plural": set(),
    "spelling": set(),
    "causes": {"plural"},
    "ledger": {"causes"},
    "reconcile": {"causes", "records", "ledger", "sources", "descriptive", "patterns"},
    "record": {"records", "attributes", "ledger"},
    "shared_options": {"reconcile"},
    "process_resource": {"sources"},
    "send": {
        "attributes",
        "ledger",
        "plural",
        "process_resource",
        "record",
        "records",
        "runtime",
        "selfmetrics",
        "shared_options",
        "sources",
        "stats",
    },
    "journal": {"ledger", "records", "sources", "testing", "write"},
    "decode": {"records", "attributes", "ledger", "sources"},
    "write": {"records", "ledger", "runtime", "descriptive", "patterns"},
    "autostart": {"wandb_step_fix"},
    "flush.lifecycle": {"flush.pipeline", "record", "runtime", "write"},
    "reader": {"record", "runtime"},
    "flush.refusals": {"flush.pipeline", "record", "records", "runtime", "stats"},
    "stats": {"ledger"},
    "selfmetrics": {"stats"},
    "resource": {"record", "write"},
    "testing": set(),
    "inspection": {"plural", "testing"},
    "verdict": {"causes", "ledger", "plural", "reconcile", "stats"},
}
"""What each part may import of the package; the entrances may import everything below them."""


def part_of(path):
    return named([part.removesuffix(".py") for part in path.relative_to(ROOT).parts])


def named(parts):
    """In `flush`, where the stages are put together, each file is a part of its own."""
    return ".".join(parts[:2] if parts[0] == "flush" else parts[:1])


def imports_of(path):
    """Absolute dotted names of what a module imports."""
    package = ["otel_wandb_bridge", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, *(node.module.split(".") if node.module else [])])
            yield module
            if node.module is None:
                yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_imports_what_stands_above_it(path):
    """Each stage knows the records alone; the entrances know the stages."""
    part = part_of(path)
    if part not in LAYERS:
        return
    for name in imports_of(path):
        if name.startswith("otel_wandb_bridge."):
            other = named(name.split(".")[1:])
            assert other == part or other in LAYERS[part], f"{part} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_those_who_may_touch_wandb_and_opentelemetry_do(path):
    """`reconcile` and the records import the standard library alone, `write` nothing of OpenTelemetry."""
    part = part_of(path)
    foreign = {name.split(".")[0] for name in imports_of(path)} - set(sys.stdlib_module_names)
    foreign -= {"otel_wandb_bridge", ""}
    if part in (
        "records",
        "sources",
        "descriptive",
        "attributes",
        "ledger",
        "patterns",
        "plural",
        "spelling",
        "reconcile",
        "stats",
        "flush.deferral",
        "runtime",
        "autostart",
    ):
        assert set() == foreign
    if part not in ("write", "wandb_step_fix", "cli", "testing"):
        assert "wandb" not in foreign
    if part in ("write", "cli", "testing", "inspection"):
        assert "opentelemetry" not in foreign


def test_nothing_is_unpickled_but_the_run_that_our_own_parent_sends():
    """What comes from outside (requests, files, journals) is parsed, never executed."""
    can_execute = {"pickle", "shelve", "dbm", "dill", "cloudpickle", "joblib", "yaml"}
    importing = {
        str(path.relative_to(ROOT))
        for path in MODULES
        if can_execute & {name.split(".")[0] for name in imports_of(path)}
    }
    assert {"write/attached.py", "write/writer_process.py"} == importing
    reading = [path.name for path in MODULES if "pickle.load" in path.read_text()]
    assert ["attached.py"] == reading
    evaluating = re.compile(r"(?<![.\w])(?:eval|exec)\(")
    assert [] == [path.name for path in MODULES if evaluating.search(path.read_text())]


def test_the_public_names_are_there():
    """Other people's work builds on them."""
    names = {
        "Bridge",
        "OtlpReceiver",
        "Stats",
        "WandbMetricExporter",
        "configure",
        "current_step",
        "set_step",
        "step_aggregation",
        "step_view",
        "step_views",
        "training_step",
    }
    assert names <= set(otel_wandb_bridge.__all__)
    assert otel_wandb_bridge.__all__ == sorted(otel_wandb_bridge.__all__)
    assert all(getattr(otel_wandb_bridge, name).__doc__ for name in otel_wandb_bridge.__all__)


def test_the_public_signatures_are_kept():
    """Names of arguments are part of the promise."""
    assert [
        "run",
        "endpoint",
        "export_interval_millis",
        "service_name",
        "resource",
        "extra_readers",
        "receiver",
        "set_global",
        "options",
    ] == list(inspect.signature(configure).parameters)
    assert {
        "step_metric",
        "late",
        "hold",
        "disorder",
        "max_pending",
        "max_step_jump",
        "priorities",
        "gating",
        "expected_sources",
    } <= set(inspect.signature(WandbMetricExporter).parameters)
    assert ["self", "values", "step", "source", "priority"] == list(inspect.signature(Bridge.log).parameters)


def test_the_lowest_versions_are_those_of_the_metadata():
    """`make lowest` runs what `pyproject.toml` promises."""
    metadata = (REPOSITORY / "pyproject.toml").read_text()
    promised = dict(re.findall(r'"([\w-]+)>=([\d.]+)[b\d]*(?:;[^"]*)?"', metadata))
    pinned = dict(re.findall(r"^([\w-]+)==([\d.]+)", (REPOSITORY / "tests" / "lowest.txt").read_text(), re.M))
    for name, version in pinned.items():
        numbers = [int(number) for number in version.split(".")]
        least = [int(number) for number in promised[name].split(".")]
        assert numbers[: len(least)] == least, name
        assert not any(numbers[len(least) :]), name


def test_the_version_is_the_same_everywhere():
    """In the package and in its metadata."""
    metadata = (REPOSITORY / "pyproject.toml").read_text()
    assert f'version = "{otel_wandb_bridge.__version__}"' in metadata
