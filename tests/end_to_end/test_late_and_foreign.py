"""What comes late, what somebody else writes to the same run, and what the run's summary says in the end."""

LATE = """
for policy in ("keep", "merge", "drop"):
    run = wandb.init(id=policy)
    bridge = configure(run, export_interval_millis=100, set_global=False, late=policy)
    for step in range(5):
        bridge.log({"loss": step / 2}, step=step, source="trainer")
    wait_until(lambda: bridge.stats().rows == 4)
    bridge.log({"accuracy": 0.25, "loss": 99.0}, step=2, source="evaluator")
    bridge.log({"accuracy": 0.75}, step=1, source="evaluator")
    wait_until(lambda: bridge.stats().late == 3)
    bridge.log({"loss": 2.5}, step=5, source="trainer")
    run.finish()
    stats = bridge.stats()
    report(
        conserved=stats.is_conserved(), late=stats.late, late_rows=stats.late_rows, dropped=stats.dropped,
        overridden=stats.overridden, written=stats.written, rows=stats.rows,
    )
    bridge.shutdown()
"""


def test_late_values_go_where_the_policy_says(run_script):
    """Rows of their own with their true step, the next row, or nowhere; counted each time."""
    outcome = run_script(LATE).ended_well()
    keep, merge, drop = (outcome.runs[policy] for policy in ("keep", "merge", "drop"))
    own = {step: step / 2 for step in range(6)}
    assert sorted([*range(6), 1, 2]) == sorted(keep.steps())
    assert {1: 0.75, 2: 0.25} == keep.series("accuracy")
    assert [1.0, 99.0] == [row["loss"] for row in keep.rows if row["global_step"] == 2]
    assert list(range(8)) == [row["_step"] for row in keep.rows]
    assert list(range(6)) == merge.steps() == drop.steps()
    assert own == merge.series("loss") == drop.series("loss")
    assert [4] == list(merge.series("accuracy"))
    assert {} == drop.series("accuracy")
    assert [
        {
            "late": 3,
            "late_rows": 2,
            "dropped": 0,
            "overridden": 0,
            "written": 9,
            "rows": 8,
            "conserved": True,
        },
        {
            "late": 3,
            "late_rows": 0,
            "dropped": 0,
            "overridden": 2,
            "written": 7,
            "rows": 6,
            "conserved": True,
        },
        {
            "late": 3,
            "late_rows": 0,
            "dropped": 3,
            "overridden": 0,
            "written": 6,
            "rows": 6,
            "conserved": True,
        },
    ] == outcome.reports
    for run in outcome.runs.values():
        assert "ignoring partial history record" not in run.service_log


def test_the_summary_ends_with_the_highest_step_of_each_key(run_script):
    """Numbers, text and media, whatever came late, in the same flush or another."""
    outcome = run_script(
        """
        def table(rows):
            return wandb.Table(columns=["text"], data=[["a"]] * rows)

        run = wandb.init()
        run.define_metric("best", summary="max")
        bridge = configure(run, export_interval_millis=NEVER)
        size = metrics.get_meter("trainer").create_histogram("size")
        for step in range(11):
            bridge.log({"loss": step / 2, "phase": f"phase {step}", "best": -step}, step=step)
            size.record(step, {"step": step})
        bridge.log({"accuracy": 0.9, "table": table(3)}, step=8)
        bridge.force_flush()
        bridge.log({"loss": 99.0, "phase": "late", "best": 5, "table": table(1)}, step=4)
        bridge.log({"accuracy": 0.1, "only late": 1}, step=3)
        bridge.log({"only late": 2}, step=2)
        size.record(99, {"step": 5})
        bridge.force_flush()
        bridge.log({"table": table(2), "accuracy": 0.2}, step=7)
        run.finish()
        """
    ).ended_well()
    summary = outcome.run.summary
    assert (5.0, "phase 10", 0.9, 1) == tuple(
        summary[key] for key in ("loss", "phase", "accuracy", "only late")
    )
    assert {"max": 5} == summary["best"]
    assert 3 == summary["table"]["nrows"]
    assert (10, 1) == (summary["size/max"], summary["size/count"])
    assert 10 == summary["global_step"]


def test_a_row_carries_the_time_of_its_measurements(run_script):
    """Not that of the flush, which comes when it comes."""
    outcome = run_script(
        """
        bridge = configure(export_interval_millis=NEVER)
        loss = metrics.get_meter("trainer").create_gauge("loss")
        moments = []
        for step in range(3):
            before = time.time()
            if step == 1:
                loss.set(0.5, {"step": step})
            else:
                bridge.log({"loss": 0.5}, step=step)
            moments.append((before, time.time()))
            while time.time() == moments[-1][1]:
                pass  # the next moment is another one
        run = wandb.init()
        run.finish()
        report(moments=moments)
        """
    ).ended_well()
    (moments,) = (each["moments"] for each in outcome.reports)
    for row, (before, after) in zip(outcome.rows, moments, strict=True):
        assert before <= row["_timestamp"] <= after


FOREIGN = {
    "without a step": "run.log({'foreign': step})",
    "with the next step": "run.log({'foreign': step}, step=run.step)",
    "with a step ahead": "run.log({'foreign': step}, step=run.step + 50)",
    "committed ahead": "run.log({'foreign': step}, step=run.step + 50, commit=True)",
    "in the making": "run.log({'foreign': step}, commit=False)",
}


def test_a_foreign_writer_between_flushes_costs_no_row(run_script):
    """Whichever way it logs; what it logs stays, and the steps that it uses up are counted."""
    source = ""
    for name, log in FOREIGN.items():
        source += f"""
run = wandb.init(id={name.replace(" ", "-")!r})
bridge = configure(run, export_interval_millis=NEVER, set_global=False)
for step in range(20):
    bridge.log({{"loss": step / 2}}, step=step)
    if step % 4 == 3:
        {log}
        bridge.force_flush()
        {log}
run.finish()
stats = bridge.stats()
report(
    conserved=stats.is_conserved(), written=stats.written, rows=stats.rows, log_calls=stats.log_calls,
    foreign=stats.foreign_steps,
)
bridge.shutdown()
"""
    outcome = run_script(source)
    assert outcome.code == 0
    assert {"foreign"} == {line.partition(":")[0] for line in outcome.err.splitlines()}
    for name, stats in zip(FOREIGN, outcome.reports, strict=True):
        run = outcome.runs[name.replace(" ", "-")]
        loss = {row["global_step"]: row["loss"] for row in run.rows if "loss" in row}
        assert (name, {step: step / 2 for step in range(20)}) == (name, loss)
        foreign = {row["foreign"] for row in run.rows if "foreign" in row}
        assert (name, {3, 7, 11, 15, 19}) == (name, foreign)
        assert "ignoring partial history record" not in run.service_log
        assert stats["conserved"]
        assert 20 == stats["written"] == stats["rows"] == stats["log_calls"]
        assert stats["foreign"] > 0


def test_a_foreign_writer_during_a_flush_costs_no_row(run_script):
    """A callback that logs without a step from the training thread, all the time."""
    outcome = run_script(
        """
        run = wandb.init()
        bridge = configure(run, export_interval_millis=100)
        stop = threading.Event()

        def profile():
            while not stop.is_set():
                run.log({"profiling": 1})
                time.sleep(0.001)

        profiler = threading.Thread(target=profile)
        profiler.start()
        for step in range(1_000):
            bridge.log({"loss": step / 2}, step=step, source="trainer")
        bridge.force_flush()
        stop.set()
        profiler.join()
        run.finish()
        """
    )
    assert outcome.code == 0
    assert {step: step / 2 for step in range(1_000)} == outcome.run.series("loss")
    assert "ignoring partial history record" not in outcome.run.service_log


def test_steps_below_the_start_of_a_resumed_run_are_late_not_lost(run_script):
    """Offline, W&B resumes nothing and starts at 0; so this run is a fake that starts at 500."""
    outcome = run_script(
        """
        from otel_wandb_bridge.testing import FakeRun

        run = FakeRun(starting_step=500)
        provider = new_provider(exporter := WandbMetricExporter(run))
        loss = provider.get_meter("trainer").create_gauge("loss")
        for step in range(498, 504):
            loss.set(step / 2, {"step": step})
        run.finish()
        stats = exporter.stats()
        report(
            rows=[[row["_step"], row["global_step"], row["loss"]] for row in run.rows],
            dropped=len(run.dropped), late=stats.late, conserved=stats.is_conserved(),
        )
        """
    ).ended_well()
    steps = [(500, 498), (501, 499), (502, 500), (503, 501), (504, 502), (505, 503)]
    rows = [[committed, step, step / 2] for committed, step in steps]
    assert [{"rows": rows, "dropped": 0, "late": 2, "conserved": True}] == outcome.reports


def test_an_offline_run_that_is_asked_to_resume_takes_all_rows(run_script):
    """W&B says that it starts a new one, and so do we."""
    outcome = run_script(
        """
        run = wandb.init(id="resumed", resume="must")
        bridge = configure(run, export_interval_millis=NEVER)
        for step in range(5, 10):
            bridge.log({"loss": step / 2}, step=step)
        """
    )
    assert outcome.code == 0
    assert {step: step / 2 for step in range(5, 10)} == outcome.run.series("loss")
    assert list(range(5, 10)) == [row["_step"] for row in outcome.rows]
