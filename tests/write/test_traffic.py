"""A foreign writer never comes between our look at the run's step and our row."""

import threading

import wandb
from wandb import wandb_run

from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.records import Row
from otel_wandb_bridge.testing import read_rows
from otel_wandb_bridge.write.traffic import traffic_of
from otel_wandb_bridge.write.writer import RunWriter


def test_all_ways_to_log_go_through_the_method_that_is_wrapped(tmp_path):
    """Should W&B rename `Run._log`, foreign rows could make W&B drop ours, silently."""
    assert hasattr(wandb_run.Run, "_log"), "wandb.Run has no _log any more: write/traffic.py wraps it"
    with wandb.init(mode="offline", dir=tmp_path) as run:
        saved = run.log
        traffic = traffic_of(run)
        for log in (saved, run.log, wandb.log, wandb.run.log):
            log({"foreign": 1})
        assert 4 == traffic.foreign_calls
        ours = {"ours": 1}

        def log(values, **more):
            run.log(values, **more)
            assert 4 == traffic.foreign_calls
            run.log({"of a signal handler": 1})

        with traffic.ours():
            traffic.log_own(log, ours, None, commit=True)
        assert 5 == traffic.foreign_calls


def test_a_foreign_writer_during_a_flush_costs_no_row(tmp_path):
    """Every row of ours is in the file, and in order, whatever is logged in between."""
    run = wandb.init(mode="offline", dir=tmp_path)
    file, ledger, stop = run.settings.sync_file, Ledger(), threading.Event()
    writer = RunWriter(run, "global_step", ledger)

    def log_all_the_time():
        while not stop.is_set():
            run.log({"foreign": 1})

    foreign = threading.Thread(target=log_all_the_time)
    foreign.start()
    writer.begin()
    for step in range(300):
        writer.take(Row(step, {"loss": step}, 0.0, 1))
        if step % 30 == 29:
            writer.flush()
    stop.set()
    foreign.join()
    run.finish()
    wandb.teardown()
    rows = read_rows(file)
    assert list(range(300)) == [row["global_step"] for row in rows if "loss" in row]
    assert list(range(300)) == [row["loss"] for row in rows if "loss" in row]
    assert sorted(row["_step"] for row in rows) == [row["_step"] for row in rows]
    assert ledger.foreign_steps > 0
