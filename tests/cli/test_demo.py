"""The demo from end to end, as a user runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from otel_wandb_bridge.cli import main
from otel_wandb_bridge.cli.demo import load_grpo
from otel_wandb_bridge.cli.extras import require
from otel_wandb_bridge.cli.plot import draw

RUN = "from otel_wandb_bridge.cli import main; main()"
# The same demo with a bridge that loses rows: it writes as wandb.log does.
RUN_LOSING = (
    "import sys; from otel_wandb_bridge.cli import main; demo = sys.modules['otel_wandb_bridge.cli.demo'];"
    "demo.train_with_bridge = demo.train_with_wandb; main()"
)


def run_demo(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, "demo", "--steps", "40", *arguments],
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONIOENCODING": "utf-8", "COLUMNS": "80"} | environment,
        timeout=120,
        check=False,
    )


def figures(output: str, label: str) -> list[int]:
    line = next(line for line in output.splitlines() if label in line)
    return [int(number.replace(",", "")) for number in re.findall(r"[\d,]+", line)]


def test_the_bridge_loses_nothing_where_wandb_log_does(tmp_path: Path):
    result = run_demo(RUN, "--dir", str(tmp_path))

    assert result.returncode == 0, result.stdout + result.stderr
    lost_by_wandb, lost_by_bridge = figures(result.stdout, "scalars lost")
    assert lost_by_wandb > 0
    assert lost_by_bridge == 0
    passed, right = (figures(result.stdout, label)[1] for label in ("scalars in them", "at the right step"))
    assert passed == right > 400
    assert min(figures(result.stdout, "rows in the run")) == 40
    assert "eval/accuracy" in result.stdout
    assert f"wandb leet {tmp_path / 'wandb'}" in result.stdout
    assert len(list(tmp_path.glob("wandb/offline-run-*/*.wandb"))) == 2
    assert result.stderr == ""
    assert max(map(len, result.stdout.splitlines()[:-2])) <= 80


@pytest.mark.long
def test_the_picture_shows_every_scalar_that_was_passed(tmp_path: Path):
    picture = tmp_path / "pictures" / "demo.png"
    result = run_demo(RUN, "--no-plot", "--dir", str(tmp_path), "--picture", str(picture))

    assert result.returncode == 0, result.stdout + result.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"written: {picture}" in result.stdout.replace("\n", "")


def test_the_exit_code_is_1_if_the_bridge_lost_something(tmp_path: Path):
    result = run_demo(RUN_LOSING, "--no-plot", "--dir", str(tmp_path), PYTHONIOENCODING="ascii")

    assert result.returncode == 1, result.stdout + result.stderr
    assert min(figures(result.stdout, "scalars lost")) > 0
    assert "please report this" in result.stderr


def test_a_missing_extra_is_named_with_the_command_that_installs_it():
    with pytest.raises(click.ClickException) as caught:
        require("The demo", "demo", "json", "no_such_module", "nor_this")

    expected = 'The demo needs no_such_module and nor_this: pip install "otel-wandb-bridge[demo]"'
    assert expected == caught.value.message


def test_the_training_job_is_loaded_once():
    assert load_grpo() is load_grpo()


def test_the_version_is_told():
    result = CliRunner().invoke(main, ["--version"])

    assert result.exit_code == 0
    assert result.output.startswith("otel-wandb, version ")


def test_a_plot_names_every_curve_and_fits_its_width():
    plot = click.unstyle(draw("reward", {"one": [(0, 0.0), (9, 1.0)], "none": []}, width=60, height=10))

    assert "• one   x none" in plot
    assert plot.count("•") == 3
    assert max(map(len, plot.splitlines())) == 60


def test_a_plot_without_points_is_its_title():
    assert draw("reward", {"one": []}, width=60) == "reward   • one"
