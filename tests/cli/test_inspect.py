"""`otel-wandb inspect`, on real offline runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from otel_wandb_bridge.cli import main
from otel_wandb_bridge.cli.inspect_tables import facts_of, lines_of, tables
from otel_wandb_bridge.inspection import History, StoredRun, read_run

WRITE = """
import wandb
from otel_wandb_bridge import configure

with wandb.init(project="inspected", name="plain", mode="offline") as run:
    for step in range(6):
        run.log({"loss": 1 / (step + 1)}, step=step)
        if step == 5:
            run.log({"eval/accuracy": 0.5}, step=2)

with wandb.init(project="inspected", name="bridged", mode="offline") as run:
    bridge = configure(run, set_global=False, hold=0)
    for step in range(6):
        bridge.log({"loss": 1 / (step + 1), "<b>&": step}, step=step, source="trainer")
    bridge.force_flush()
    bridge.shutdown()

with wandb.init(project="inspected", name="late", mode="offline") as run:
    bridge = configure(run, set_global=False, hold=0)
    for step in range(6):
        bridge.log({"loss": 1 / (step + 1)}, step=step, source="trainer")
    bridge.force_flush()
    bridge.log({"eval/accuracy": 0.5}, step=2, source="evaluator")
    bridge.shutdown()

with wandb.init(project="inspected", name="many", mode="offline") as run:
    run.log({f"key_{number}": number for number in range(30)})
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Files by the names of three runs: through `wandb.log`, through the bridge, with a late row."""
    directory = tmp_path_factory.mktemp("runs")
    environment = {**os.environ, "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    done = subprocess.run(
        [sys.executable, "-c", WRITE], cwd=directory, env=environment, capture_output=True, text=True
    )
    assert 0 == done.returncode, done.stderr
    return {read_run(file).name: file for file in directory.glob("wandb/offline-run-*/*.wandb")}


def inspect(*arguments):
    return CliRunner().invoke(main, ["inspect", *map(str, arguments)])


def test_a_run_of_the_bridge_passes_the_check(runs):
    """With the facts in sight, and exit code 0."""
    result = inspect(runs["bridged"], "--check")
    assert 0 == result.exit_code, result.output
    for text in (
        "inspected /",
        "steps of global_step",
        "6 (0 to 5)",
        "loss",
        "one row a step, in rising order",
    ):
        assert text in result.output


def test_calls_that_w_and_b_threw_away_fail_the_check(runs):
    """Its own log tells, even where the rows look well."""
    result = inspect(runs["plain"], "--check")
    assert (1, True) == (result.exit_code, "W&B threw away 1 call of log," in result.output)


def test_a_late_row_fails_the_check_unless_late_rows_are_fine(runs):
    """It comes after higher steps, and its step is in two rows; no value is there twice."""
    result = inspect(runs["late"], "--check")
    assert 1 == result.exit_code
    assert "1 row came after a row of a higher global_step: 2" in result.output
    assert 0 == inspect(runs["late"], "--check", "--late-ok").exit_code


def test_the_facts_can_be_read_by_programs(runs):
    """As JSON, and nothing else on the output."""
    facts = json.loads(inspect(runs["late"], "--json").stdout)
    assert (7, 6, 1, 1, 0) == tuple(
        facts[name] for name in ("rows", "steps", "late_rows", "repeated_steps", "values_twice")
    )
    assert {"loss": 6, "eval/accuracy": 1} == facts["keys"]
    assert ["late", "repeated"] == [problem["kind"] for problem in facts["problems"]]


def test_the_sources_of_a_run_are_shown(runs, tmp_path):
    """Of any run that the bridge wrote: how far each came, and what of it was late."""
    facts = json.loads(inspect(runs["late"], "--json").stdout)
    assert {
        "trainer": {"last_step": 5, "late": 0, "overridden": 0},
        "evaluator": {"last_step": 2, "late": 1, "overridden": 0},
    } == facts["sources"]
    table = [line.split() for line in inspect(runs["late"]).stdout.splitlines()]
    assert ["evaluator", "2", "1", "0"] in table
    assert ["trainer", "5", "0", "0"] in table
    page = tmp_path / "run.html"
    inspect(runs["late"], "--html", page)
    assert "<td>evaluator</td><td>2</td><td>1</td><td>0</td>" in page.read_text(encoding="utf-8")
    assert {} == json.loads(inspect(runs["plain"], "--json").stdout)["sources"]


def test_of_very_many_sources_some_are_shown_and_the_rest_counted():
    """The terminal is for people."""
    sources = {f"source {number:02}": {"step": number} for number in range(40)}
    stored = StoredRun(Path("run"), History([], "global_step"), config={"otel": {"sources": sources}})
    console = Console(width=80)
    with console.capture() as captured:
        console.print(tables(stored, []))
    assert (True, False) == tuple(name in captured.get() for name in ("source 29", "source 30"))
    assert "… and 10 more sources: --json has all" in captured.get()


def test_sources_with_long_names_are_cut_in_the_tables_and_whole_for_programs():
    """One line each, in 80 columns."""
    names = [f"trainer/rank_{rank}/6f1c0e3a-9d5f-4c61-8a51-0242ac12000{rank}/reward" for rank in range(2)]
    sources = {name: {"step": 1_000_000} for name in names}
    stored = StoredRun(Path("run"), History([], "global_step"), config={"otel": {"sources": sources}})
    console = Console(width=80)
    with console.capture() as captured:
        console.print(tables(stored, []))
    assert "trainer/rank_1/6f1c0e3a…/reward  1,000,000" in captured.get()
    assert "shortened: --json has them whole" in captured.get()
    assert set(names) == set(facts_of(stored, [])["sources"])


@pytest.fixture
def unfinished(runs, tmp_path):
    """A run as a kill leaves it: its file ends before the record of its end."""
    whole = runs["bridged"].read_bytes()
    for size in range(len(whole), 0, -1):
        path = tmp_path / "run-killed.wandb"
        path.write_bytes(whole[:size])
        if read_run(path).exit_code is None:
            return path
    raise AssertionError("a finished run says so")


def test_a_run_that_is_not_finished_fails_the_check_unless_that_is_fine(unfinished):
    """Its last rows may be missing, and nobody could tell."""
    result = inspect(unfinished, "--check")
    assert 1 == result.exit_code
    assert "not finished: killed, or still running" in result.stdout
    assert "the run is not finished: it was killed, or is still running" in result.output
    assert "--unfinished-ok" in result.output
    passed = inspect(unfinished, "--check", "--unfinished-ok")
    assert (0, True) == (passed.exit_code, "not finished: killed, or still running" in passed.stdout)
    assert json.loads(inspect(unfinished, "--json").stdout)["finished"] is False


def test_a_finished_run_says_so_to_programs(runs):
    """Whatever it was finished with."""
    assert json.loads(inspect(runs["bridged"], "--json").stdout)["finished"] is True


def test_keys_are_chosen_by_pattern_and_drawn(runs):
    """In the terminal."""
    result = inspect(runs["late"], "--key", "eval/*", "--plot")
    assert 0 == result.exit_code, result.output
    assert "eval/accuracy" in result.output
    assert "loss" not in result.output


def test_charts_are_written_into_a_picture_and_a_page(runs, tmp_path):
    """The page needs nothing beside it, and takes no key for markup."""
    picture, page = tmp_path / "new" / "run.png", tmp_path / "run.html"
    result = inspect(runs["bridged"], "--png", picture, "--html", page)
    assert 0 == result.exit_code, result.output
    assert picture.read_bytes().startswith(b"\x89PNG")
    text = page.read_text(encoding="utf-8")
    assert 2 == text.count("<svg")
    assert "<b>&" not in text.replace("<b>&amp;", "")
    assert not any(word in text for word in ("<script", "<link", "src="))
    again = tmp_path / "again.html"
    inspect(runs["bridged"], "--html", again)
    assert text == again.read_text(encoding="utf-8")


def test_the_latest_run_is_found_below_here(runs, monkeypatch):
    """Also where W&B could make no link, and where WANDB_DIR leads elsewhere."""
    latest = max(runs.values(), key=lambda file: file.stat().st_mtime)
    monkeypatch.chdir(latest.parents[2])
    assert latest.resolve() == read_run("latest").file.resolve()
    monkeypatch.chdir("/")
    monkeypatch.setenv("WANDB_DIR", str(latest.parents[2]))
    assert latest == read_run("latest").file


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere: no such file"),
        (["{late}", "--axis", "epoch"], "no row has the axis 'epoch'; the rows have"),
        (["{many}", "--axis", "nope"], ", key_23, …"),
        (["{late}", "--key", "nothing"], "no key is like 'nothing'; the run's keys: eval"),
    ],
)
def test_what_cannot_be_shown_is_named(runs, arguments, words):
    """With exit code 2, as for any wrong argument."""
    result = inspect(*(argument.format(**runs) for argument in arguments))
    assert (2, True) == (result.exit_code, words in result.output)


def test_where_there_is_no_run_it_says_where_it_looked(tmp_path, monkeypatch):
    """And what to name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_DIR", raising=False)
    (tmp_path / "wandb").mkdir()
    assert "there is no run to be the latest in wandb; name a run directory" in inspect().output


def test_what_fails_the_check_is_what_programs_read(runs, unfinished):
    """One list of problems decides all three: the exit code, the JSON and `StoredRun.problems`."""
    for file, kinds in (
        (runs["plain"], ["thrown away"]),
        (unfinished, ["unfinished"]),
        (runs["bridged"], []),
    ):
        result = inspect(file, "--check", "--json")
        assert bool(kinds) == result.exit_code
        assert kinds == [problem["kind"] for problem in first_json(result.stdout)["problems"]]
        assert kinds == [problem.kind for problem in read_run(file).problems()]
    result = inspect(unfinished, "--check", "--unfinished-ok", "--json")
    assert [] == first_json(result.stdout)["problems"]


def first_json(text):
    """What stands before what click 8.1 mixes in from stderr."""
    return json.JSONDecoder().raw_decode(text)[0]


def test_a_run_without_rows_is_a_problem():
    """There is nothing to be in order."""
    stored = StoredRun(Path("run-x.wandb"), History([], "global_step"), exit_code=0)
    assert ["no rows"] == [problem.kind for problem in stored.problems()]


@pytest.mark.parametrize("option", ["--late-ok", "--unfinished-ok"])
def test_an_option_of_the_check_asks_for_it(runs, option):
    """Nobody says what may pass, and wants no check."""
    assert 1 == inspect(runs["plain"], option).exit_code


def test_rows_without_the_chosen_axis_are_left_out_and_counted(tmp_path):
    """Their place on it is not known."""
    rows = [{"_step": step, "loss": 1.0} for step in range(20)] + [{"_step": 20, "loss": 0.5, "epoch": 1}]
    stored = StoredRun(tmp_path / "run-x.wandb", History(rows, "epoch"), exit_code=0)
    (loss,) = stored.history.curves
    assert [(1, 0.5)] == list(loss.points)
    assert ("rows without epoch", "20, left out of the curves") in lines_of(stored)
