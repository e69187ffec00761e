"""Which run a value goes to: before the first one, from one to the next, and where there can be none."""

import pytest
from opentelemetry.sdk.metrics import MeterProvider


def test_what_is_recorded_before_init_waits_for_the_run(run_script):
    """Over several flushes, from instruments and from `Bridge.log`, beside what comes after."""
    outcome = run_script(
        """
        bridge = configure(export_interval_millis=NEVER)
        loss = metrics.get_meter("trainer").create_gauge("loss")
        for step in range(0, 6):
            loss.set(step / 2, {"step": step})
            bridge.log({"note": f"at {step}"}, step=step, source="trainer")
            bridge.force_flush()
        before = bridge.stats()
        run = wandb.init()
        for step in range(6, 9):
            loss.set(step / 2, {"step": step})
        bridge.force_flush()
        report(pending=before.pending, rows=before.rows, conserved=before.is_conserved())
        stats = bridge.stats()
        report(pending=stats.pending, rows=stats.rows, conserved=stats.is_conserved())
        """
    ).ended_well()
    assert [
        {"pending": 12, "rows": 0, "conserved": True},
        {"pending": 0, "rows": 9, "conserved": True},
    ] == outcome.reports
    assert {step: step / 2 for step in range(9)} == outcome.run.series("loss")
    assert {step: f"at {step}" for step in range(6)} == outcome.run.series("note")
    assert list(range(9)) == outcome.run.steps()


def test_each_run_gets_its_own_rows_one_after_the_other(run_script):
    """Also when a run begins and ends within one interval; steps, totals and the step clock start again."""
    outcome = run_script(
        """
        bridge = configure(export_interval_millis=NEVER)
        meter = metrics.get_meter("trainer")
        loss, tokens = meter.create_gauge("loss"), meter.create_counter("tokens")
        for name, factor, steps in (("first", 1, 5), ("second", 10, 4), ("third", 100, 3)):
            loss.set(0.0, {"step": 0})  # waits for the run
            run = wandb.init(id=name)
            for step in range(1, steps):
                with training_step(step):
                    loss.set(step * factor)
                    tokens.add(factor)
            wandb.finish()
            if name != "third":
                bridge.log({"between": f"after {name}"})  # without a step
        stats = bridge.stats()
        report(conserved=stats.is_conserved(), written=stats.written, recorded=stats.recorded)
        """
    ).ended_well()
    runs = outcome.runs
    assert {0: 0, 1: 1, 2: 2, 3: 3, 4: 4} == runs["first"].series("loss")
    assert {0: 0, 1: 10, 2: 20, 3: 30} == runs["second"].series("loss")
    assert {0: 0, 1: 100, 2: 200} == runs["third"].series("loss")
    assert {1: 10, 2: 20, 3: 30} == runs["second"].series("tokens")
    between = {name: [row["between"] for row in run.rows if "between" in row] for name, run in runs.items()}
    assert {"first": [], "second": ["after first"], "third": ["after second"]} == between
    for run, steps in zip((runs["first"], runs["second"], runs["third"]), (5, 4, 3), strict=True):
        assert list(range(steps)) == [row["global_step"] for row in run.rows if "loss" in row]
        assert steps - 1 == max(row.get("global_step", -1) for row in run.rows)
    assert [{"conserved": True, "written": 23, "recorded": 23}] == outcome.reports


def test_a_second_init_that_ends_the_first_run_loses_nothing_of_it(run_script):
    """`wandb.init` itself finishes the run before it where `reinit` says so."""
    outcome = run_script(
        """
        provider = new_provider(WandbMetricExporter())
        loss = provider.get_meter("trainer").create_gauge("loss")
        wandb.init(id="first")
        loss.set(1.5, {"step": 3})
        wandb.init(id="second", reinit=True)
        loss.set(2.5, {"step": 2})
        """
    ).ended_well()
    assert {3: 1.5} == outcome.runs["first"].series("loss")
    assert {2: 2.5} == outcome.runs["second"].series("loss")


@pytest.mark.skipif(not hasattr(MeterProvider, "add_metric_reader"), reason="this SDK cannot add a reader")
def test_configure_works_again_after_a_shutdown(run_script):
    """The global provider stays open: the instruments of the first bridge serve the next ones."""
    outcome = run_script(
        """
        run = wandb.init()
        loss = metrics.get_meter("trainer").create_gauge("loss")
        for number in range(4):
            bridge = configure(run, export_interval_millis=NEVER)
            loss.set(number / 2, {"step": number})
            bridge.log({"note": f"at {number}"}, step=number)
            bridge.shutdown()
            bridge.shutdown()
            stats = bridge.stats()
            report(conserved=stats.is_conserved(), written=stats.written)
        run.log({"the run": "is open"})
        """
    ).ended_well()
    assert {number: number / 2 for number in range(4)} == outcome.run.series("loss")
    assert {number: f"at {number}" for number in range(4)} == outcome.run.series("note")
    assert "is open" == outcome.rows[-1]["the run"]
    assert [{"conserved": True, "written": 2}] * 4 == outcome.reports


def test_what_comes_after_a_shutdown_is_counted_and_told_once(run_script):
    """It has no way to the run any more, and does not spoil the next bridge."""
    outcome = run_script(
        """
        run = wandb.init()
        bridge = configure(run, export_interval_millis=NEVER, set_global=False)
        loss = bridge.meter_provider.get_meter("trainer").create_gauge("loss")
        bridge.shutdown()
        for step in range(3):
            bridge.log({"too": "late"}, step=step)
            loss.set(step, {"step": step})
        again = configure(run, export_interval_millis=NEVER, set_global=False)
        again.log({"in": "time"}, step=5)
        run.finish()
        again.shutdown()
        report(conserved=bridge.stats().is_conserved(), **bridge.stats().rejected_reasons)
        """
    )
    assert outcome.code == 0
    assert 1 == outcome.err.count("it is used after the shutdown")
    assert 1 == len(outcome.err.splitlines())
    assert {5: "time"} == outcome.run.series("in")
    assert [{"conserved": True, "shutdown": 6}] == outcome.reports


def test_a_disabled_run_takes_everything_and_keeps_nothing(run_script):
    """Nothing is raised or said, and every sample is accounted for, with the run given and followed."""
    outcome = run_script(
        """
        for given in (True, False):
            run = wandb.init(mode="disabled")
            bridge = configure(run if given else None, export_interval_millis=NEVER, set_global=False)
            meter = bridge.meter_provider.get_meter("trainer")
            loss, size = meter.create_gauge("loss"), meter.create_histogram("size")
            for step in (0, 1, 2, 1):
                loss.set(step, {"step": step})
                size.record(step, {"step": step})
                bridge.log({"table": wandb.Table(columns=["a"], data=[[1]])}, step=step)
                bridge.force_flush()
            wandb.finish()
            bridge.shutdown()
            stats = bridge.stats()
            report(conserved=stats.is_conserved(), recorded=stats.recorded, written=stats.written)
        """
    ).ended_well()
    assert {} == outcome.runs
    assert [{"conserved": True, "recorded": 12, "written": 12}] * 2 == outcome.reports


def test_a_run_that_cannot_be_written_is_refused_in_words_that_help(run_script):
    """One that has finished, and one that another exporter writes: a ValueError for whoever passes it."""
    outcome = run_script(
        """
        def attempt(make):
            try:
                make()
            except ValueError as error:
                report(error=str(error))

        run = wandb.init(id="busy")
        bridge = configure(run, set_global=False)
        attempt(lambda: WandbMetricExporter(run))
        attempt(lambda: configure(run, set_global=False))
        bridge.shutdown()
        again = configure(run, set_global=False)
        again.log({"loss": 1.0}, step=4)
        run.finish()
        attempt(lambda: WandbMetricExporter(run))
        attempt(lambda: configure(run, set_global=False))
        """
    ).ended_well()
    busy, finished = (
        "run 'busy' already has a bridge in this process, and two writers would use up each other's steps; "
        "shut that one down first, or record through it",
        "run 'busy' is finished; pass a run that is active, or None to follow wandb.init",
    )
    assert [busy, busy, finished, finished] == [each["error"] for each in outcome.reports]
    assert {4: 1.0} == outcome.run.series("loss")


def test_two_exporters_that_follow_the_same_run_lose_nothing(run_script):
    """The second cannot be refused when it is made. It says so, and writes when the first has let go."""
    outcome = run_script(
        """
        first = configure(export_interval_millis=NEVER, set_global=False)
        second = configure(export_interval_millis=NEVER, set_global=False)
        run = wandb.init()
        for step in range(5):
            first.log({"loss": step}, step=step)
            second.log({"other": step}, step=step)
        first.force_flush()
        second.force_flush()
        run.finish()
        for bridge in (first, second):
            stats = bridge.stats()
            report(conserved=stats.is_conserved(), written=stats.written)
        """
    )
    assert outcome.code == 0
    assert 1 == outcome.err.count("already has a bridge in this process")
    assert 1 == len(outcome.err.splitlines())
    assert {step: step for step in range(5)} == outcome.run.series("loss") == outcome.run.series("other")
    assert [{"conserved": True, "written": 5}] * 2 == outcome.reports
