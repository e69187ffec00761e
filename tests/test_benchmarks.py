"""The benchmarks say what happened: the same work for all, read back, and ratios of what was measured."""

import pytest

from benchmarks import report, targets
from benchmarks.contenders import BridgeLog, Floor, WandbLog
from benchmarks.measure import ProcessFailed, measured, run
from benchmarks.results import IDLE, Results
from benchmarks.works import WORKS


def test_a_contender_is_measured_in_a_process_of_its_own_and_its_result_read_back():
    """Twenty scalars at each of ten steps, in one row a step, with the CPU time of all processes."""
    figures = measured(WORKS["W1"], BridgeLog, 10, 0)
    assert (1.0, 10, 10, 10) == tuple(figures[name] for name in ("right", "rows", "calls", "steps"))
    assert figures["is conserved"]
    assert 0 < figures["call p50"] <= figures["call p99"]
    assert figures["cpu"] > 0


def test_what_ends_badly_is_no_result(tmp_path):
    """It says why."""
    with pytest.raises(ProcessFailed, match="KeyError"):
        run("benchmarks.inside", '{"work": "none"}', tmp_path)


def test_a_ratio_is_of_medians_and_takes_off_what_a_start_costs():
    """Three rounds, of which one met a busy machine."""
    results = Results()
    for ours, plain in ((3.0, 9.0), (3.2, 9.1), (30.0, 8.9)):
        results.add("W1", "BridgeLog", {"cpu": ours})
        results.add("W1", "WandbLog", {"cpu": plain})
        results.add(IDLE, "BridgeLog", {"cpu": 1.0})
        results.add(IDLE, "WandbLog", {"cpu": 2.0})
    assert (3.2 - 1.0) / (9.0 - 2.0) == results.cpu_ratio("W1", BridgeLog, WandbLog)


def test_a_target_is_judged_by_what_was_measured_and_left_out_where_nothing_was():
    """The table has a line for each figure that there is."""
    results = Results()
    figures = {"seconds": 10.0, "peak": 1.0}
    results.add("W4", Floor.__name__, {**figures, "peak": 2.0})
    results.add("W4", WandbLog.__name__, figures)
    results.add("W4", BridgeLog.__name__, {"seconds": 12.0, "peak": 2.2})
    memory, drain = targets.verdicts(results)
    assert ("≤ 1.30", "1.10", True) == memory[1:4]
    assert ("≤ 1.10", "1.20", False) == drain[1:4]
    assert "| ≤ 1.10 | 1.20 | **no** |" in report.text(results)


@pytest.mark.parametrize(("probe", "size"), [("call", 50), ("row", 50), ("drain", 800)])
def test_what_is_made_of_parts_has_their_shares(tmp_path, probe, size):
    """Each part is there, and less than twice the whole."""
    parts = run("benchmarks.probes", f'["{probe}", {size}]', tmp_path)
    results = Results()
    results.add("probe", probe, {**parts})
    whole = parts.pop("whole")
    assert all(0 <= share < 2 * whole for name, share in parts.items() if name != "cpu")
    assert all(f"| {name} | " in report.text(results) for name in parts if name != "cpu")
