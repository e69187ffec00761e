"""Online, against a double of the W&B server: it has what was committed, through each fault."""

import os
import subprocess
import sys

import pytest
from wandb_double import RESET, SILENCE, WandbDouble

TRAINING = """
run = wandb.init(project="demo", id="abc", **INIT)
bridge = configure(run, export_interval_millis=100)
loss = metrics.get_meter("trainer").create_gauge("loss")


def record(steps):
    for step in steps:
        loss.set(step / 2, {"step": step})
        bridge.log({"note": f"at {step}"}, step=step, source="trainer")


def report_stats():
    stats = bridge.stats()
    report(rows=stats.rows, late=stats.late, written=stats.written, conserved=stats.is_conserved())


"""


@pytest.fixture
def server():
    """A W&B double."""
    with WandbDouble() as double:
        yield double


@pytest.fixture
def run_online(run_script, server):
    """Run a script after `TRAINING`, online, with the arguments of `wandb.init`."""

    def run(source, *, env=None, **init):
        variables = {**server.environment, **(env or {})}
        return run_script(TRAINING.replace("INIT", repr(init)) + source, variables=variables, warm=not env)

    return run


def sync(directory, server):
    """Run `wandb sync`, which wants to be told, from some version on, that an online run is meant."""
    for options in ([], ["--no-skip-online"]):
        subprocess.run(
            [sys.executable, "-m", "wandb", "sync", *options, str(directory)],
            env={**os.environ, **server.environment},
            cwd=directory,
            capture_output=True,
            timeout=60,
        )
        if server.run_of("abc").rows:
            break


def plain(rows):
    """The rows without the times that W&B gives them."""
    return [
        {key: value for key, value in row.items() if key not in ("_runtime", "_timestamp")} for row in rows
    ]


def test_the_server_has_the_rows_that_were_committed(run_online, server):
    """In order, late ones too, the last value of each key in the summary; and W&B has nothing to say."""
    outcome = run_online(
        """
record(range(40))
bridge.force_flush()
bridge.log({"accuracy": 0.5}, step=3, source="evaluator")
run.finish()
report_stats()
"""
    ).ended_well()
    stored = server.runs["abc"]
    assert [{"rows": 41, "late": 1, "written": 81, "conserved": True}] == outcome.reports
    assert plain(outcome.rows) == plain(stored.rows)
    assert {step: step / 2 for step in range(40)} == stored.series("loss")
    assert {3: 0.5} == stored.series("accuracy")
    assert list(range(41)) == [row["_step"] for row in stored.rows]
    assert (19.5, "at 39", 39) == tuple(stored.summary[key] for key in ("loss", "note", "global_step"))
    assert (True, 0) == (stored.is_complete, stored.exit_code)
    assert "ERROR" not in outcome.run.service_log


@pytest.mark.parametrize(
    "faults",
    [
        {"file_stream": [500, 429, RESET]},
        {"file_stream": [SILENCE]},
        {"graphql": [500, RESET, 429], "storage": [500]},
    ],
)
def test_every_row_arrives_through_faults_that_pass(run_online, server, faults):
    """W&B tries again; each row is there once, in order, as in the local file."""
    for what, each in faults.items():
        server.fail(what, *each)
    outcome = run_online("record(range(40))\nrun.finish()\nreport_stats()\n")
    stored = server.runs["abc"]
    assert 0 == outcome.code
    # Old versions of W&B repeat on stderr what the server says; we say nothing.
    assert "otel" not in outcome.err
    assert all(map(server.has_failed, faults))
    assert [{"rows": 40, "late": 0, "written": 80, "conserved": True}] == outcome.reports
    assert plain(outcome.rows) == plain(stored.rows)
    assert {step: f"at {step}" for step in range(40)} == stored.series("note")
    assert (True, 0) == (stored.is_complete, stored.exit_code)


@pytest.mark.parametrize("status", [404, pytest.param(413, marks=pytest.mark.long)])
def test_an_upload_that_wandb_gives_up_is_said_and_can_be_made_up_for(run_online, server, tmp_path, status):
    """W&B goes on as if nothing were, and ends with 0. The rows are in the file: `wandb sync` brings them."""
    server.fail_for_good("file_stream", status)
    outcome = run_online(
        """
record(range(20))
wait_until(lambda: "fatal" in open(run.settings.log_internal).read())
record(range(20, 40))
run.finish()
report_stats()
"""
    )
    (said,) = outcome.err.splitlines()
    directory = next((tmp_path / "wandb").glob("run-*-abc"))
    assert (0, False) == (outcome.code, server.run_of("abc").is_complete)
    assert "wandb has given up uploading" in said
    assert f"{status} " in said
    assert f"wandb sync {directory}" in said
    assert {step: step / 2 for step in range(40)} == outcome.run.series("loss")
    assert [{"rows": 40, "late": 0, "written": 80, "conserved": True}] == outcome.reports

    server.fail_for_good("file_stream", None)
    sync(directory, server)
    assert plain(outcome.rows) == plain(server.runs["abc"].rows)


@pytest.mark.parametrize("resume", ["allow", "must"])
def test_a_resumed_run_goes_on_and_replayed_steps_keep_their_true_step(
    run_online, another_second, server, tmp_path, resume
):
    """A trainer that restarts from an older checkpoint: its steps are there twice, each where it belongs."""
    run_online("record(range(10))\n").ended_well()
    another_second()
    outcome = run_online("record(range(6, 15))\nrun.finish()\nreport_stats()\n", resume=resume)
    outcome.ended_well()
    rows = server.runs["abc"].rows
    assert [*range(10), *range(6, 15)] == [row["global_step"] for row in rows]
    assert all(row["loss"] == row["global_step"] / 2 for row in rows)
    numbers = [row["_step"] for row in rows]
    assert sorted(set(numbers)) == numbers
    assert 14 == server.runs["abc"].summary["global_step"]
    assert [(9, 8)] == [(each["rows"], each["late"]) for each in outcome.reports]
    logs = [log.read_text() for log in tmp_path.glob("wandb/run-*/logs/debug-internal.log")]
    assert 2 == len(logs)
    assert "ignoring" not in "".join(logs)


def test_the_running_totals_of_a_resumed_run_go_on(run_online, server):
    """From what the server knows of them, in a process that knows nothing."""
    count = """
tokens = bridge.meter_provider.get_meter("trainer").create_counter("tokens")
for step in range(FIRST, FIRST + 5):
    tokens.add(10, {"step": step})
run.finish()
"""
    run_online(count.replace("FIRST", "0")).ended_well()
    run_online(count.replace("FIRST", "5"), resume="must").ended_well()
    assert {step: 10 * (step + 1) for step in range(10)} == server.runs["abc"].series("tokens")
    assert 100 == server.runs["abc"].summary["tokens"]


def test_a_run_that_is_rewound_starts_over_at_that_step(run_online, server):
    """The steps after it are gone from the server, and come again."""
    run_online("record(range(10))\n").ended_well()
    run_online("record(range(6, 15))\n", resume_from="abc?_step=5").ended_well()
    rows = server.runs["abc"].rows
    assert list(range(15)) == [row["global_step"] for row in rows] == [row["_step"] for row in rows]
    assert {step: step / 2 for step in range(15)} == server.runs["abc"].series("loss")


def test_a_forked_run_goes_on_at_its_step(run_online, server):
    """What is recorded below it is late, and nothing vanishes."""
    run_online("record(range(4, 10))\n", fork_from="other?_step=5").ended_well()
    rows = server.runs["abc"].rows
    assert list(range(4, 10)) == sorted(row["global_step"] for row in rows)
    assert {step: step / 2 for step in range(4, 10)} == server.runs["abc"].series("loss")


def test_a_signal_ends_the_program_when_the_rows_have_arrived(run_online, server):
    """SIGTERM, as schedulers send it: the server has all, and counts the run as killed."""
    outcome = run_online("record(range(40))\nos.kill(os.getpid(), 15)\ntime.sleep(30)\n")
    stored = server.runs["abc"]
    assert -15 == outcome.code
    assert {step: step / 2 for step in range(40)} == stored.series("loss")
    assert (True, 255) == (stored.is_complete, stored.exit_code)


def test_a_killed_program_leaves_a_run_that_can_be_resumed(run_online, server):
    """SIGKILL: what had arrived stays, and a restart goes on behind it."""
    script = """
record(range(20))
wait_until(lambda: bridge.stats().rows >= 19)
os.kill(os.getpid(), 9)
"""
    assert -9 == run_online(script).code
    run_online("record(range(20, 30))\n", resume="allow").ended_well()
    rows = server.runs["abc"].rows
    steps = [row["global_step"] for row in rows]
    assert sorted(set(steps)) == steps
    assert list(range(20, 30)) == steps[-10:]


def test_the_counters_of_a_resumed_run_go_on_where_they_were(run_online, server):
    """From the value in its summary, which the server has; a late increment is in its own step's total."""
    count = """
tokens = metrics.get_meter("trainer").create_counter("tokens")
for step in STEPS:
    tokens.add(10, {"step": step})
bridge.force_flush()
"""
    run_online(count.replace("STEPS", "range(5)")).ended_well()
    assert 50 == server.runs["abc"].summary["tokens"]
    more = count.replace("STEPS", "range(5, 8)") + 'tokens.add(3, {"step": 6})\n'
    run_online(more, resume="must").ended_well()
    told = [(row["global_step"], row["tokens"]) for row in server.runs["abc"].rows]
    assert [(step, 10 * step + 10) for step in range(8)] == told[:8]
    assert [(6, 73)] == told[8:]
    assert (83, 7) == tuple(server.runs["abc"].summary[key] for key in ("tokens", "global_step"))
