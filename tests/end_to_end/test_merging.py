"""Many components, any order, any speed: one row a step, nothing lost, nothing that W&B throws away."""

import pytest

STEPS = 400

FOUR_THREADS = f"""
import random

STEPS = {STEPS}
run = wandb.init()
bridge = configure(run, export_interval_millis=100, OPTIONS)
meter = metrics.get_meter("job")
loss = meter.create_gauge("loss")
tokens = meter.create_counter("tokens")
reward = meter.create_gauge("reward")
length = meter.create_histogram("length")


def trainer(step):
    with training_step(step, source="trainer"):
        loss.set(step + 0.5)
        tokens.add(2)


def callback(step):
    bridge.log({{"callback/lr": step / 8, "callback/phase": f"phase {{step}}"}}, step=step, source="callback")


def rewarder(step):
    reward.set(step * 2, {{"step": step, "source": "rewarder", "priority": 3}})
    for tenth in range(3):
        length.record(step + tenth, {{"step": step, "source": "rewarder"}})


def evaluator(step):
    bridge.log({{"eval/accuracy": -step}}, step=step, source="evaluator")


def component(report_step, behind):
    chance = random.Random(report_step.__name__)
    for tick in range(STEPS + behind):
        if tick >= behind:
            report_step(tick - behind)
        if chance.random() < 0.3:
            time.sleep(chance.random() / 300)
        ticks[behind] = tick
        while tick > min(ticks.values()) + 20:
            time.sleep(0.001)


ticks = {{0: 0, 1: 0, 3: 0, 7: 0}}
components = [(trainer, 0), (callback, 1), (rewarder, 3), (evaluator, 7)]
threads = [threading.Thread(target=component, args=each) for each in components]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
run.finish()
stats = bridge.stats()
report(
    conserved=stats.is_conserved(), recorded=stats.recorded, written=stats.written, rows=stats.rows,
    log_calls=stats.log_calls, late_rows=stats.late_rows, foreign=stats.foreign_steps,
)
"""

THROWN_AWAY = ("ignoring partial history record", "less than", "dropping", "ERROR", "WARN")


OPTIONS = {
    "everybody is expected": "expected_sources=4",
    "by default": "",
    "late values are merged": "late='merge', expected_sources=4",
    "nothing is held": "hold=0.0",
}


def test_every_value_stands_at_its_own_step_whoever_reports_it_when(run_scripts):
    """Four components, up to seven steps apart, with instruments and with `Bridge.log`."""
    steps = range(STEPS)
    outcomes = run_scripts({name: FOUR_THREADS.replace("OPTIONS", OPTIONS[name]) for name in OPTIONS})
    for name, outcome in outcomes.items():
        run, (stats,) = outcome.ended_well().run, outcome.reports
        assert {step: step + 0.5 for step in steps} == run.series("loss")
        assert {step: step * 2 for step in steps} == run.series("reward")
        assert {step: step / 8 for step in steps} == run.series("callback/lr")
        assert {step: f"phase {step}" for step in steps} == run.series("callback/phase")
        assert {step: -step for step in steps} == run.series("eval/accuracy")
        assert dict.fromkeys(steps, 3) == run.series("length/count")
        assert {step: step + 1 for step in steps} == run.series("length/mean")
        assert {step: 2 * (step + 1) for step in steps} == run.series("tokens")
        assert stats["conserved"]
        assert STEPS * 9 == stats["recorded"] == stats["written"]
        assert stats["rows"] == stats["log_calls"] == len(run.rows)
        assert stats["rows"] - stats["late_rows"] <= STEPS
        assert stats["foreign"] == 0
        committed = [row["_step"] for row in run.rows]
        assert sorted(set(committed)) == committed
        assert [word for word in THROWN_AWAY if word in run.service_log] == []
        if "expected_sources" in OPTIONS[name]:
            assert list(steps) == committed == run.steps()


def test_more_steps_than_the_sdk_keeps_series_arrive_from_one_interval(run_script):
    """The exporter alone, on a plain provider without views, with the step as a plain attribute."""
    outcome = run_script(
        """
        run = wandb.init()
        provider = new_provider(WandbMetricExporter(run))
        meter = provider.get_meter("trainer")
        loss, tokens = meter.create_gauge("loss"), meter.create_counter("tokens")
        for step in range(5_000):
            loss.set(step / 2, {"step": step})
            tokens.add(3, {"step": step})
        run.finish()
        """
    ).ended_well()
    assert {step: step / 2 for step in range(5_000)} == outcome.run.series("loss")
    assert {step: 3 * (step + 1) for step in range(5_000)} == outcome.run.series("tokens")
    assert list(range(5_000)) == [row["_step"] for row in outcome.rows] == outcome.run.steps()


@pytest.mark.long
def test_a_fast_loop_passes_max_pending_without_a_loss(run_script):
    """What a sparse source holds back is committed early instead; its own values come late, not never."""
    outcome = run_script(
        """
        run = wandb.init()
        bridge = configure(
            run, export_interval_millis=100, max_pending=500, hold=3_600, expected_sources=["evaluator"]
        )
        meter = metrics.get_meter("trainer")
        loss, norm, rate = (meter.create_gauge(name) for name in ("loss", "norm", "rate"))
        accuracy = metrics.get_meter("evaluator").create_gauge("accuracy")
        for step in range(5_000):
            loss.set(step, {"step": step})
            norm.set(step + 1, {"step": step})
            rate.set(step + 2, {"step": step})
            bridge.log({"entropy": step + 3, "note": "text"}, step=step, source="trainer")
            if step % 1_000 == 999:
                accuracy.set(-step, {"step": step - 500})
        run.finish()
        stats = bridge.stats()
        report(
            conserved=stats.is_conserved(), shed=stats.shed, recorded=stats.recorded, written=stats.written,
            rows=stats.rows, late=stats.late,
        )
        """
    ).ended_well()
    (stats,) = outcome.reports
    steps = range(5_000)
    assert stats["late"] > 0, "nothing was committed early"
    assert stats["conserved"]
    assert stats["shed"] == 0
    assert 25_005 == stats["recorded"] == stats["written"]
    assert stats["rows"] == len(outcome.rows)
    assert {step: step for step in steps} == outcome.run.series("loss")
    assert {step: step + 1 for step in steps} == outcome.run.series("norm")
    assert {step: step + 2 for step in steps} == outcome.run.series("rate")
    assert {step: step + 3 for step in steps} == outcome.run.series("entropy")
    assert dict.fromkeys(steps, "text") == outcome.run.series("note")
    assert {step - 500: -step for step in range(999, 5_000, 1_000)} == outcome.run.series("accuracy")
    committed = [row["_step"] for row in outcome.rows]
    assert sorted(set(committed)) == committed
