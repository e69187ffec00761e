"""Values as they were when they were logged: whatever W&B takes, and whatever happens to it later."""

import ast
import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from otel_wandb_bridge.testing import read_config, read_records

SOURCE = Path(__file__).with_name("captured_cases.py").read_text()
CASES = [
    node.name
    for node in ast.parse(SOURCE).body
    if isinstance(node, ast.FunctionDef) and any(ast.unparse(each) == "case" for each in node.decorator_list)
]
OWN_KEYS = ("_step", "_timestamp", "_runtime", "global_step")


@dataclass(frozen=True)
class Both:
    """What W&B alone has written, and what came of the same calls when they were caught."""

    native: Any
    patched: Any
    became: dict[str, tuple[str, str]]
    """By case: what the calls returned or raised."""
    facts: dict[str, Any]


@pytest.fixture(scope="module")
def both(run_program):
    """All cases, twice in one program."""
    ended = run_program(SOURCE, prologue="", timeout=120)
    assert 0 == ended.code, ended.err
    native, patched = ended.facts["native"], ended.facts["patched"]
    became = {name: (native[name], patched[name]) for name in native}
    return Both(ended.runs["native"], ended.runs["patched"], became, ended.facts)


@pytest.mark.parametrize("name", CASES)
def test_what_is_logged_is_in_the_row_as_it_was_then(both, name):
    """The same values, the same media (kind, content, and the file is there), or the same refusal."""
    native, patched = both.became[name]
    assert native == patched
    if native.startswith("missing"):
        pytest.skip(native)
    step = CASES.index(name) + 1
    expected = [row for row in both.native.rows if row["_step"] == step]
    found = [row for row in both.patched.rows if row.get("global_step") == step]
    assert native != "None" or 1 == len(expected)
    assert [shown(row, both.native) for row in expected] == [shown(row, both.patched) for row in found]


@pytest.mark.parametrize("key", ["page", "table"])
def test_an_object_that_is_logged_again_and_again_is_in_each_row(both, key):
    """As it was each time."""
    native = [shown(row[key], both.native) for row in both.native.rows if key in row]
    patched = [shown(row[key], both.patched) for row in both.patched.rows if key in row]
    assert 3 == len(native)
    assert native == patched


@pytest.mark.parametrize("key", ["twice", "nested"])
def test_of_two_values_of_a_key_at_a_step_the_row_holds_what_wandb_holds(both, key):
    """Media over media, media over a number, a number over media, dict over dict."""
    native = [shown(row[key], both.native) for row in both.native.rows if key in row]
    patched = [shown(row[key], both.patched) for row in both.patched.rows if key in row]
    assert 6 <= len(native)
    assert native == patched


@pytest.mark.parametrize("key", ["held", "alone", "left"])
def test_media_without_a_step_are_in_a_row(both, key):
    """Also where `commit=False` holds them back, up to the end."""
    (native,) = both.native.values(key)
    (patched,) = both.patched.values(key)
    assert shown(native, both.native) == shown(patched, both.patched)


def test_lists_in_lists_cost_no_other_value(run_program):
    """However deep; whether W&B takes them depends on how deep it is called itself."""
    ended = run_program(
        """
        patch_wandb_log()
        run = init("deep")
        nested = 1
        for _ in range(500):
            nested = [nested]
        run.log({"loss": 0.5}, step=0)
        run.log({"loss": 1.5, "nested": nested}, step=1)
        run.log({"loss": 2.5}, step=2)
        run.finish()
        """
    )
    assert 0 == ended.code
    assert {0: 0.5, 1: 1.5, 2: 2.5} == ended.runs["deep"].by_step("loss")


def test_bytes_that_are_no_text_cost_no_other_value(run_program):
    """Of all that W&B refuses, these alone are found out at the flush."""
    ended = run_program(
        """
        patch_wandb_log()
        run = init("refusing")
        run.log({"loss": 0.5}, step=0)
        run.log({"loss": 1.5, "bytes": bytes([255]), "words": "abc"}, step=1)
        run.log({"loss": 2.5}, step=2)
        run.finish()
        report(stats=get_step_manager().get_stats())
        """
    )
    assert 0 == ended.code
    assert "'bytes'" in ended.err
    refusing = ended.runs["refusing"]
    assert {0: 0.5, 1: 1.5, 2: 2.5} == refusing.by_step("loss")
    assert {1: "abc"} == refusing.by_step("words")
    assert [] == refusing.values("bytes")
    stats = ended.facts["stats"]
    assert (5, 1, 1) == (stats["recorded"], stats["rejected"], stats["dropped_logs"])


def test_the_values_of_the_caller_are_left_alone(both):
    """Also the dicts in it, out of which W&B alone takes the charts."""
    assert both.facts["patched leaves the values alone"]


def test_every_file_in_a_row_is_handed_to_wandb(both):
    """What no record names is not uploaded."""
    for run in (both.native, both.patched):
        named = {file.path for record in records(run, "files") for file in record.files.files}
        paths = {path for row in run.rows for path in paths_in(row)}
        assert len(paths) > 3
        assert set() == paths - named


def test_as_many_files_are_handed_over_as_by_wandb_alone(both):
    """None twice, none for nothing: by directory and suffix."""

    def kinds(run):
        files = [Path(file.path) for record in records(run, "files") for file in record.files.files]
        return Counter((file.parts[:2], file.suffix) for file in files if file.parts[0] == "media")

    assert kinds(both.native) == kinds(both.patched)


def test_as_many_artifacts_are_logged_as_by_wandb_alone(both):
    """A table is one artifact each time it is logged."""

    def names(run, name):
        logged = [record.request.log_artifact.artifact for record in records(run, "request")]
        logged += [record.artifact for record in records(run, "artifact")]
        # Where a key has letters that no artifact may have, W&B appends random ones.
        return Counter(re.sub("(_table)-.{6}$", r"\1", each.name.replace(name, "")) for each in logged)

    assert names(both.native, "native") == names(both.patched, "patched")


def test_charts_are_in_the_config_as_by_wandb_alone(both):
    """A chart is a table under another key, and its description in the config."""

    def charts(run):
        (wandb,) = [value for key, value in read_config(run.files.parent).items() if key == "_wandb"]
        return wandb["visualize"]

    assert charts(both.native) == charts(both.patched)


def records(run, kind):
    return [record for record in read_records(run.files.parent) if record.WhichOneof("record_type") == kind]


def paths_in(value):
    if isinstance(value, dict):
        if "_type" in value and isinstance(value.get("path"), str):
            yield value["path"]
        for inner in value.values():
            yield from paths_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from paths_in(inner)


def shown(value, run):
    """A value in a form that two runs have in common: a file is its content, a number is exact."""
    if isinstance(value, dict):
        return {
            key: _content(key, inner, run)
            for key, inner in value.items()
            if key not in OWN_KEYS and not key.endswith("artifact_path")
        }
    if isinstance(value, list):
        return [shown(inner, run) for inner in value]
    if isinstance(value, float):
        return "nan" if math.isnan(value) else (repr(value), math.copysign(1, value))
    return (type(value).__name__, value)


def _content(key, value, run):
    if key in ("path", "filenames") and isinstance(value, (str, list)):
        files = [value] if isinstance(value, str) else value
        return [(Path(file).suffix, run.sha256(_place(file))) for file in files]
    return shown(value, run)


def _place(file):
    return file if file.startswith("media/") else f"media/images/{file}"
