"""Every Python snippet of the README and the docs runs; those of frameworks run in tests/frameworks."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SNIPPETS = [
    pytest.param(code, id=f"{page.name}-{number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S))
    if "otel_wandb_bridge.adapters" not in code
]


NEEDS = {
    "endpoint=": "opentelemetry.exporter.otlp.proto.http",
    "exporter.otlp.proto.http": "opentelemetry.exporter.otlp.proto.http",
}
"""What a snippet needs that old versions do not go with: OTLP exporters from 1.29."""


@pytest.mark.parametrize("code", SNIPPETS)
def test_a_snippet_runs_as_it_stands(code, tmp_path, warm_python):
    """In a process and a directory of its own, without a word on stderr."""
    for text, module in NEEDS.items():
        if text in code:
            pytest.importorskip(module, reason=f"the snippet needs {module}")
    (tmp_path / "snippet.py").write_text(code)
    done = subprocess.run(
        [*warm_python, "snippet.py"],
        cwd=tmp_path,
        env={**os.environ, "WANDB_SILENT": "true"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_leads_somewhere(page):
    """Links within the repository name files that are there."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_each_line_about_reliability_names_tests_that_there_are():
    """File and name, so that nobody has to look for the proof of a promise."""
    lines = (ROOT / "docs" / "reliability.md").read_text().splitlines()
    named = []
    for line in lines:
        file = None
        for where, name in re.findall(r"`([\w/]*(?:test_\w+\.py)?)::(\w+)`", line):
            file = where if "/" in where else f"tests/end_to_end/{where}" if where else file
            named.append((file, name))
    assert 40 < len(named)
    assert [] == [each for each in named if not re.search(rf"\b{each[1]}\b", (ROOT / each[0]).read_text())]
    without = [line for line in lines if line.endswith(("|  |", "| |"))]
    assert all("not safe" in line or "may find a lock" in line or "not tested" in line for line in without)


def test_the_options_page_names_every_option():
    """With its environment variable."""
    from otel_wandb_bridge.options import WITHOUT_VARIABLE, known_options
    from otel_wandb_bridge.shared_options import PREFIX

    page = (ROOT / "docs" / "options.md").read_text()
    for option in known_options():
        assert f"`{option}`" in page
        if option not in WITHOUT_VARIABLE:
            assert f"`{PREFIX}{option.upper()}`" in page


def test_the_examples_page_names_every_example():
    """With the way to run it."""
    page = (ROOT / "docs" / "examples.md").read_text()
    names = [path.name for path in (ROOT / "examples").iterdir() if not path.name.startswith(("_", "."))]
    assert [] == [name for name in names if f"(../examples/{name}" not in page]


def test_the_readme_names_every_extra():
    """But for those of the project's own work."""
    pyproject = (ROOT / "pyproject.toml").read_text()
    (section,) = re.findall(r"^\[project.optional-dependencies\]\n(.*?)^\[", pyproject, re.M | re.S)
    extras = {*re.findall(r"^([\w-]+) = \[", section, re.M)} - {"test", "frameworks", "bench", "dev"}
    (table,) = re.findall(r"^\| extra \|.*?\n\n", (ROOT / "README.md").read_text(), re.M | re.S)
    named = {
        name for cell in re.findall(r"^\| (`.*?) \|", table, re.M) for name in re.findall(r"[\w-]+", cell)
    }
    assert {"demo", "worker-grpc"} <= extras == named


def test_the_reference_names_every_public_name():
    """Of the package itself."""
    import otel_wandb_bridge

    named = re.findall(r"^ +- (\w+)$", (ROOT / "docs" / "reference.md").read_text(), re.M)
    assert otel_wandb_bridge.__all__ == sorted(named)
