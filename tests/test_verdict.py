"""What is said when a run is over, and what tests may be told at a flush: nothing where all is well."""

import logging
import os
import subprocess
import sys

import pytest

from otel_wandb_bridge import Sample, SamplesLost, configure
from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.reconcile import Policy
from otel_wandb_bridge.testing import FakeRun
from otel_wandb_bridge.verdict import Verdict
from otel_wandb_bridge.write import terminal


@pytest.fixture
def lines(monkeypatch):
    """What W&B's terminal is given: (`log` or `warn`, text)."""
    said = []
    monkeypatch.delenv("WANDB_SILENT")
    monkeypatch.setattr(terminal.wandb, "termlog", lambda text: said.append(("log", text)))
    monkeypatch.setattr(terminal.wandb, "termwarn", lambda text: said.append(("warn", text)))
    return said


def bridge_to(run, **options):
    return configure(run, set_global=False, export_interval_millis=3_600_000, **options)


def test_nothing_is_said_where_all_is_well(lines):
    """Silence means that every sample is in the row of its step."""
    run = FakeRun()
    with bridge_to(run) as bridge:
        bridge.log({"loss": 0.5}, step=0)
        bridge.log({"loss": 0.4}, step=1)
    assert [] == lines


def test_what_was_late_or_overridden_is_said_in_one_line_with_its_source_and_what_to_set(lines):
    """As a remark: nothing is lost by it."""
    with bridge_to(FakeRun(), hold=2.5) as bridge:
        bridge.log({"loss": 0.5, "lr": 1}, step=3, source="trainer")
        bridge.log({"loss": 0.4}, step=3, source="critic")
        bridge.force_flush()
        bridge.log({"reward": 1.0}, step=2, source="reward")
    ((kind, text),) = lines
    assert "log" == kind
    assert "1 late (reward 1), with their true step: for one row a step raise hold above 2.5 s" in text
    assert "1 overridden (critic 1)" in text
    assert "\n" not in text


def test_what_was_lost_is_a_warning(lines):
    """Rejected with the reasons, dropped with whose it was and the way to keep it."""
    with bridge_to(FakeRun(), late="drop") as bridge:
        bridge.log({"loss": 0.5}, step=3)
        bridge.log({"loss": 0.5}, step=-7)
        bridge.force_flush()
        bridge.log({"reward": 1.0}, step=2, source="reward")
    ((kind, text),) = lines
    assert "warn" == kind
    assert "1 rejected (step 1): see the log" in text
    assert "1 dropped, being late (reward 1): late='keep' writes them" in text


def test_readings_that_come_again_by_themselves_are_not_spoken_of(lines):
    """An observable is read at each collection; that the step has its reading already is no news."""
    from opentelemetry.metrics import Observation

    with bridge_to(FakeRun()) as bridge:
        meter = bridge.meter_provider.get_meter("system")
        meter.create_observable_gauge("memory", [lambda _: [Observation(7, {"step": 4})]])
        for _ in range(3):
            bridge.force_flush()
        stats = bridge.stats()
    assert stats.overridden > 0
    assert ([], {}) == (lines, stats.overridden_by_source)


def test_each_run_has_a_line_of_its_own():
    """The counts of the run before do not count again, and nothing is said twice."""
    ledger = Ledger()
    ledger.note_late("a", 3)
    verdict = Verdict(ledger, Policy())
    assert ("", False) == verdict.line()
    ledger.note_late("b", 1)
    assert "1 late (b 1)" in verdict.line()[0]
    assert ("", False) == verdict.line()
    ledger.note_late("b", 1)
    assert "2 late (b 2)" in verdict.line()[0]


def test_sources_without_number_do_not_grow_the_counts():
    """A source for each request is one name too many."""
    ledger = Ledger()
    for number in range(5_000):
        ledger.note_late(f"request {number}", 1)
    assert 5_000 == ledger.late == ledger.late_by.total()
    assert len(ledger.late_by) <= 1_001


def test_a_terminal_that_fails_costs_nothing(monkeypatch, caplog):
    """The line is in the log then."""
    monkeypatch.delenv("WANDB_SILENT")
    monkeypatch.setattr(terminal.wandb, "termlog", None)
    with caplog.at_level(logging.INFO, "otel_wandb_bridge"):
        terminal.tell(FakeRun(), "a remark", is_loss=False)
    assert "a remark" in caplog.text


def test_strict_raises_at_the_flush_and_once_for_each_loss():
    """With the counts, and what they were lost for; the flush itself is done."""
    run = FakeRun()
    bridge = bridge_to(run, strict=True)
    bridge.log({"loss": 0.5}, step=0)
    assert bridge.force_flush()
    bridge.log({"loss": 0.5}, step="soon")
    bridge.log({"loss": 0.4}, step=1)
    with pytest.raises(SamplesLost, match=r"1 sample is lost since .* 1 rejected \(step 1\)") as caught:
        bridge.force_flush()
    assert (1, 2) == (caught.value.stats.rejected, len(run.rows))
    assert bridge.force_flush()
    bridge.log({"loss": 0.5}, step="later")
    with pytest.raises(SamplesLost, match="1 sample is lost since the last flush; in all, 2 rejected"):
        bridge.shutdown()
    assert bridge.stats().is_conserved()


def test_without_strict_nothing_is_raised():
    """Telemetry never raises into a training loop."""
    with bridge_to(FakeRun()) as bridge:
        bridge.log({"loss": 0.5}, step="soon")
        assert bridge.force_flush()


@pytest.mark.parametrize(("late", "dropped"), [("keep", 0), ("merge", 0), ("drop", 2)])
def test_on_late_is_called_with_each_late_sample_whatever_becomes_of_it(late, dropped):
    """After the flush, with no lock held: it may report and flush itself. What it raises is said once."""
    seen = []

    def on_late(sample):
        seen.append(sample)
        bridge.log({"late": 1}, step=9, source="watcher")
        bridge.stats()
        raise RuntimeError("of the user's")

    bridge = bridge_to(FakeRun(), late=late, on_late=on_late)
    bridge.log({"loss": 0.5}, step=3)
    bridge.force_flush()
    bridge.log({"reward": 1.0, "kl": 0.1}, step=2, source="reward")
    bridge.force_flush()
    assert [("reward", 2, "reward", 1.0), ("reward", 2, "kl", 0.1)] == [
        (sample.source, sample.step, sample.key, sample.value) for sample in seen
    ]
    assert isinstance(seen[0], Sample)
    assert (2, dropped) == (bridge.stats().late, bridge.stats().dropped)
    bridge.shutdown()
    assert bridge.stats().is_conserved()


def test_rows_below_the_start_of_a_resumed_run_are_late_for_on_late_too():
    """They were no late samples when they came."""
    seen = []
    bridge = bridge_to(FakeRun(starting_step=10), on_late=seen.append)
    bridge.log({"loss": 0.5}, step=3)
    bridge.shutdown()
    assert [3] == [sample.step for sample in seen]


def test_a_run_says_in_its_config_who_reported():
    """Under `otel.sources`, without being asked: what stood there of earlier sources stays."""
    run = FakeRun(config={"otel": {"sources": {"earlier": {"step": 1, "late": 0, "overridden": 0}}}})
    with bridge_to(run) as bridge:
        bridge.log({"loss": 0.5}, step=3, source="trainer")
        bridge.log({"loss": 0.4}, step=3, source="critic")
        bridge.force_flush()
        bridge.log({"reward": 1.0}, step=2, source="reward")
    assert {
        "earlier": {"step": 1, "late": 0, "overridden": 0},
        "trainer": {"step": 3, "late": 0, "overridden": 0},
        "critic": {"step": 3, "late": 0, "overridden": 1},
        "reward": {"step": 2, "late": 1, "overridden": 0},
    } == run.config["otel"]["sources"]
    assert [] == [key for key in run.summary if key.startswith("bridge/")]


def test_a_run_of_which_nothing_came_says_nothing_of_sources():
    """No entry is put into the config for nothing."""
    run = FakeRun()
    with bridge_to(run) as bridge:
        bridge.force_flush()
    assert "sources" not in run.config.get("otel", {})


def test_sources_without_number_are_one_entry_past_200():
    """A config is for people to read; no sample goes uncounted."""
    ledger = Ledger()
    verdict = Verdict(ledger, Policy())
    for number in range(300):
        ledger.note_late(f"request {number}", 1)
    sources = verdict.sources({f"request {number}": number for number in range(300)})
    assert (201, 300) == (len(sources), sum(each["late"] for each in sources.values()))
    assert {"step": 299, "late": 100, "overridden": 0} == sources["other sources"]


def test_the_counts_are_in_the_summary_if_asked():
    """Under `bridge/`, with each source's part."""
    run = FakeRun()
    with bridge_to(run, summary_counts=True) as bridge:
        bridge.log({"loss": 0.5}, step=3, source="trainer")
        bridge.force_flush()
        bridge.log({"reward": 1.0}, step=2, source="reward")
    assert (2, 2, 1) == tuple(run.summary[f"bridge/{name}"] for name in ("recorded", "written", "late"))
    expected = {"late": 1, "overridden": 0, "step": 2}
    assert expected == run.summary["bridge/sources"]["reward"]
    assert "bridge/recorded" not in silent_summary()


def silent_summary():
    run = FakeRun()
    with bridge_to(run) as bridge:
        bridge.log({"loss": 0.5}, step=3)
    return run.summary


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("strict", "yes", "strict must be True or False; got 'yes'"),
        ("summary_counts", 1, "summary_counts must be True or False; got 1"),
        ("on_late", "print", "on_late must be a function of a late sample; got 'print'"),
    ],
)
def test_options_that_cannot_be_used_are_refused_by_name(option, value, words):
    """At once."""
    with pytest.raises(TypeError, match=words):
        bridge_to(FakeRun(), **{option: value})


PROGRAM = """
import wandb
from otel_wandb_bridge import configure

run = wandb.init(project="demo", mode="offline", settings=wandb.Settings(console="off"))
bridge = configure(run, summary_counts=True)
bridge.log({{"loss": 0.5}}, step=3)
bridge.force_flush()
bridge.log({{"reward": 1.0}}, step={step}, source="reward")
{end}
"""


@pytest.mark.parametrize("end", ["run.finish()", "", "bridge.shutdown()", "wandb.teardown()"])
def test_the_line_is_beside_what_w_and_b_prints_however_the_program_ends(tmp_path, end):
    """Once, on stderr, and not where W&B is told to be silent; the counts are in the file."""
    from otel_wandb_bridge.testing import read_summary

    def said(step, **variables):
        environment = {
            name: value for name, value in os.environ.items() if name != "WANDB_SILENT"
        } | variables
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(step=step, end=end)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert 0 == done.returncode, done.stderr
        return [line for line in done.stderr.splitlines() if "otel-wandb-bridge" in line]

    (line,) = said(2)
    assert "wandb: otel-wandb-bridge: samples 1 late (reward 1)" in line
    assert 1 == read_summary(tmp_path / "wandb" / "latest-run")["bridge/late"]
    assert [] == said(4)
    assert [] == said(2, WANDB_SILENT="true")
