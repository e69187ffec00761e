"""When `run.log` raises: the order is kept, nothing is lost, and what has piled up is caught up with."""


def test_rows_that_cannot_be_written_wait_and_keep_their_order(run_script):
    """A run in memory fails three times; what comes in meanwhile comes after."""
    outcome = run_script(
        """
        from otel_wandb_bridge.testing import FakeRun

        run = FakeRun()
        exporter = WandbMetricExporter(run)
        provider = new_provider(exporter)
        loss = provider.get_meter("trainer").create_gauge("loss")


        def record(steps):
            for step in steps:
                loss.set(step / 2, {"step": step})
            provider.force_flush()
            stats = exporter.stats()
            report(
                written=[row["global_step"] for row in run.rows], pending=stats.pending,
                conserved=stats.is_conserved(), failed=stats.failed_flushes,
                more_calls=stats.log_calls - stats.rows,
            )


        record(range(3))
        run.fail_next(5, ConnectionError("no route to host"))
        for steps in (range(3, 6), range(6, 9), range(9, 12), range(12, 15)):
            record(steps)
        report(dropped=run.dropped)
        """
    )
    assert outcome.code == 0
    assert 1 == outcome.err.count("no route to host")
    *states, last = outcome.reports
    assert 3 == len(states[0]["written"]) == len(states[1]["written"])
    assert all(state["written"] == sorted(set(state["written"])) for state in states)
    assert list(range(15)) == states[-1]["written"]
    assert 0 == states[-1]["pending"]
    assert 5 <= states[-1]["more_calls"]
    assert 0 < states[-1]["failed"] <= 5
    assert all(state["conserved"] for state in states)
    assert {"dropped": []} == last


def test_a_run_that_fails_for_a_while_is_caught_up_with(run_script):
    """By the flushes of the interval alone, while the training goes on."""
    outcome = run_script(
        """
        run = wandb.init()
        log, failures = run.log, iter(range(12))


        def log_that_fails_for_a_while(*args, **kwargs):
            if next(failures, None) is not None:
                raise ConnectionError("no route to host")
            return log(*args, **kwargs)


        bridge = configure(run, export_interval_millis=100)
        loss = metrics.get_meter("trainer").create_gauge("loss")


        def record(steps):
            for step in steps:
                loss.set(step / 2, {"step": step})
                bridge.log({"note": f"at {step}"}, step=step, source="trainer")


        record(range(50))
        run.log = log_that_fails_for_a_while
        record(range(50, 100))
        wait_until(lambda: bridge.stats().failed_flushes > 3)
        record(range(100, 150))
        wait_until(lambda: bridge.stats().rows == 149)
        run.finish()
        stats = bridge.stats()
        report(conserved=stats.is_conserved(), rows=stats.rows, written=stats.written)
        """
    )
    assert outcome.code == 0
    assert ["W&B: ConnectionError"] == [line[:20] for line in outcome.err.splitlines()]
    assert {step: step / 2 for step in range(150)} == outcome.run.series("loss")
    assert {step: f"at {step}" for step in range(150)} == outcome.run.series("note")
    assert list(range(150)) == outcome.run.steps() == [row["_step"] for row in outcome.rows]
    assert [{"conserved": True, "rows": 150, "written": 300}] == outcome.reports


def test_a_value_that_wandb_cannot_take_does_not_hold_up_the_rest(run_script):
    """Neither the rest of its row, plain or not, nor the rows after it; it is counted and told once."""
    outcome = run_script(
        """
        class Unwritable:
            pass


        run = wandb.init()
        bridge = configure(run, export_interval_millis=NEVER)
        size = metrics.get_meter("trainer").create_histogram("size")
        for step in range(8):
            bridge.log({"loss": step / 2}, step=step, source="trainer")
            size.record(step, {"step": step, "source": "trainer"})
            if step in (3, 5):
                table = wandb.Table(columns=["a"], data=[[step]])
                bridge.log({"bad": Unwritable(), "table": table, "nested": {"too": Unwritable()}}, step=step)
        run.finish()
        stats = bridge.stats()
        report(conserved=stats.is_conserved(), rows=stats.rows, written=stats.written)
        report(**stats.rejected_reasons)
        """
    )
    assert outcome.code == 0
    assert 1 == outcome.err.count("'bad'")
    assert "Traceback" not in outcome.err
    assert {step: step / 2 for step in range(8)} == outcome.run.series("loss")
    assert dict.fromkeys(range(8), 1) == outcome.run.series("size/count")
    assert [3, 5] == list(outcome.run.series("table"))
    assert list(range(8)) == outcome.run.steps() == [row["_step"] for row in outcome.rows]
    assert [{"conserved": True, "rows": 8, "written": 18}, {"unwritable": 4}] == outcome.reports
    assert "ignoring partial history record" not in outcome.run.service_log


def test_a_run_that_never_recovers_finishes_all_the_same(run_script):
    """What is lost is counted and said; the program's end is not disturbed."""
    outcome = run_script(
        """
        def fail(*args, **kwargs):
            raise ConnectionError("no route to host")


        run = wandb.init()
        bridge = configure(run, export_interval_millis=NEVER)
        bridge.log({"loss": 0.5}, step=0)
        bridge.force_flush()
        run.log = fail
        for step in range(1, 5):
            bridge.log({"loss": 0.5}, step=step)
        run.finish()
        stats = bridge.stats()
        report(conserved=stats.is_conserved(), written=stats.written, shed=stats.shed)
        sys.exit(3)
        """
    )
    assert outcome.code == 3
    assert 1 == outcome.err.count("4 samples are lost")
    assert "Traceback" not in outcome.err
    assert [0] == outcome.run.steps()
    assert [{"conserved": True, "written": 1, "shed": 4}] == outcome.reports
