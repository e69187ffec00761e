"""Every Python snippet of the README and the docs runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SNIPPETS = [
    pytest.param(code, id=f"{page.name}-{number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S))
]


NEEDS = {
    "endpoint=": "opentelemetry.exporter.otlp.proto.http",
    "exporter.otlp.proto.http": "opentelemetry.exporter.otlp.proto.http",
}
"""What a snippet needs that old versions do not go with: OTLP exporters from 1.29."""


@pytest.mark.parametrize("code", SNIPPETS)
def test_a_snippet_runs_as_it_stands(code, tmp_path):
    """In a process and a directory of its own, without a word on stderr."""
    for text, module in NEEDS.items():
        if text in code:
            pytest.importorskip(module, reason=f"the snippet needs {module}")
    done = subprocess.run(
        [sys.executable, "-c", code],
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
