"""What was flushed before a kill is written after a restart, once and in order, whatever W&B had stored."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from otel_wandb_bridge.journal.tail_file import TailFile
from otel_wandb_bridge.testing import FakeRun


@pytest.mark.parametrize("has", [0, 1, 4, 7])
def test_rows_that_the_run_does_not_have_are_written_first(killed, resumed, has):
    """And what waited in the reconciler after them."""
    with killed() as first:
        for step in range(10):
            first.log({"loss": step / 2}, step, "trainer")
            if step < 7:
                first.log({"reward": step}, step, "reward")
        first.flush()
    assert list(range(6)) == [row["global_step"] for row in first.run.rows]
    run, rows = resumed(first.run, min(has, 6))
    with killed(run) as second:
        second.log({"loss": 5.0}, 10, "trainer")
        second.exporter.flush_everything(1000)
        stats = second.exporter.stats()
    assert list(range(11)) == [row["global_step"] for row in (*rows, *run.rows)]
    assert [step / 2 for step in range(11)] == [row["loss"] for row in (*rows, *run.rows)]
    assert list(range(7)) == [row["reward"] for row in (*rows, *run.rows)[:7]]
    assert [] == run.dropped
    assert stats.is_conserved()
    assert 2 * (6 - len(rows)) + 4 + 1 == stats.restored


def test_with_nothing_lost_nothing_is_written_twice(killed, resumed):
    """W&B had stored every row."""
    with killed() as first:
        for step in range(5):
            first.log({"loss": step}, step)
        first.flush()
        first.exporter.flush_everything(1000)
    run, rows = resumed(first.run, 5)
    assert 5 == len(rows)
    with killed(run) as second:
        second.exporter.flush_everything(1000)
        assert 0 == second.exporter.stats().restored
    assert [] == run.rows


_calls = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 12), st.sampled_from(["x", "y"])),
        st.just("flush"),
        st.just("fail"),
        st.just("kill"),
    ),
    max_size=40,
)


@given(_calls, st.lists(st.integers(0, 12), min_size=42, max_size=42))
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_value_is_lost_or_twice_however_often_it_is_killed(killed, tmp_path, monkeypatch, calls, lost):
    """Each call has a value of its own; a kill takes rows that W&B has not stored yet off the run's end.

    Rows are noted two at a time, and W&B fails now and then.
    """
    monkeypatch.setattr("otel_wandb_bridge.write.outbox.BATCH", 2)
    (tmp_path / "tail.journal").unlink(missing_ok=True)
    stored, sent, waiting, values = [], set(), set(), iter(range(1000))
    run = FakeRun()
    bridge = killed(run, late="keep")
    bridge.__enter__()
    for call, gone in zip([*calls, "kill"], lost, strict=False):
        if call == "flush":
            bridge.flush()
            sent |= waiting
            waiting = set()
        elif call == "fail":
            run.fail_next(1, ConnectionError("gone"))
        elif call == "kill":
            bridge.__exit__()
            waiting = set()
            rows = run.rows
            stored += rows[: max(0, len(rows) - gone)]
            run = FakeRun(starting_step=stored[-1]["_step"] + 1 if stored else 0)
            bridge = killed(run, late="keep")
            bridge.__enter__()
        else:
            source, step, key = call
            value = next(values)
            bridge.log({f"{key}{value}": value}, step, source)
            waiting.add((step, value))
    while not bridge.exporter.flush_everything(1000) and bridge.exporter.stats().pending:
        pass
    assert bridge.exporter.stats().is_conserved()
    bridge.__exit__()
    rows = [*stored, *run.rows]
    found = [(row["global_step"], value) for row in rows for key, value in row.items() if key[0] in "xy"]
    assert sorted(found) == sorted(set(found))
    assert sent <= set(found)
    steps = [row["_step"] for row in rows]
    assert sorted(set(steps)) == steps


def test_a_flush_is_one_transaction_and_a_measurement_none(killed, monkeypatch):
    """Whether rows are due or not; where nothing has come in, there is none."""
    notes = []
    before = TailFile.note
    monkeypatch.setattr(TailFile, "note", lambda *a, **more: (notes.append(1), before(*a, **more)))
    with killed() as bridge:
        reader = PeriodicExportingMetricReader(bridge.exporter, export_interval_millis=3_600_000)
        provider = MeterProvider([reader], shutdown_on_exit=False)
        loss = provider.get_meter("trainer").create_gauge("loss")
        counts = []
        for step in range(0, 40, 10):
            for each in range(step, step + 10):
                loss.set(each / 2, {"step": each})
                bridge.log({"note": "x"}, each, "trainer")
            assert len(notes) == sum(counts)
            reader.collect()
            counts.append(len(notes) - sum(counts))
        loss.set(0.0, {"step": 39})  # makes no row due
        reader.collect()
        counts.append(len(notes) - sum(counts))
        reader.collect()
        counts.append(len(notes) - sum(counts))
    reader.shutdown()
    assert [1, 1, 1, 1, 1, 0] == counts
