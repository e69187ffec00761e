"""Running totals in real runs, read back."""


def test_a_late_increment_is_in_its_own_row_in_those_after_it_and_in_the_summary(run_script):
    """An evaluator counts at steps that the trainer has left behind."""
    ended = run_script(
        """
        run = wandb.init(mode="offline")
        bridge = configure(run, export_interval_millis=NEVER)
        tokens = metrics.get_meter("trainer").create_counter("tokens")
        for step in range(5):
            tokens.add(10, {"step": step})
        bridge.force_flush()
        tokens.add(3, {"step": 1})
        bridge.force_flush()
        tokens.add(10, {"step": 5})
        bridge.force_flush()
        tokens.add(4, {"step": 2})
        run.finish()
        report(conserved=bridge.stats().is_conserved())
        """
    ).ended_well()
    told = [(row["global_step"], row["tokens"]) for row in ended.rows]
    assert [(0, 10), (1, 20), (2, 30), (3, 40), (4, 50), (1, 23), (5, 63), (2, 37)] == told
    assert (67, 5) == (ended.run.summary["tokens"], ended.run.summary["global_step"])
    assert [{"conserved": True}] == ended.reports


def test_the_total_goes_on_where_a_second_bridge_joins_a_run_that_has_rows(run_script):
    """As in a run that is resumed: from the value of its summary, also where that is the greatest."""
    ended = run_script(
        """
        run = wandb.init(mode="offline")
        run.define_metric("requests", summary="max")
        for step in (0, 1):
            with configure(run, export_interval_millis=NEVER, set_global=False) as bridge:
                meter = bridge.meter_provider.get_meter("trainer")
                for name in ("tokens", "requests"):
                    meter.create_counter(name).add(10, {"step": step})
        run.finish()
        """
    ).ended_well()
    assert {0: 10, 1: 20} == ended.run.series("tokens") == ended.run.series("requests")
