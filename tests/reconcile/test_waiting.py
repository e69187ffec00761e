"""What waits makes the same rows anew in another reconciler."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.reconcile import Policy, Reconciler
from otel_wandb_bridge.records import Bundle, Kind, Manner, Sample

_items = st.lists(
    st.tuples(
        st.sampled_from(["trainer", "reward"]),
        st.integers(0, 6),
        st.sampled_from(["a", "b", "c"]),
        st.integers(4, 6),
        st.sampled_from([Kind.VALUE, Kind.VALUE, Kind.INCREMENT, Kind.OBSERVATION, *Manner]),
    ),
    max_size=30,
)


def made(number, source, step, key, priority, how):
    """A sample, or a call; increments and observations have keys of their own, as instruments have."""
    time = 100.0 + number
    if isinstance(how, Manner):
        return Bundle(source, step, {key: number, f"{key}/more": number}, priority, time, how)
    return Sample(source, step, f"{how.value}/{key}", number, priority, time, how)


def drained(reconciler):
    """All that it holds, as rows."""
    rows = []
    while (row := reconciler.peek(everything=True)) is not None:
        rows.append((row.step, row.late, dict(row.values)))
        reconciler.pop()
    return rows


def without_totals_of_late_rows(rows):
    """What is known without the increments of each step, which do not wait."""
    return [
        (step, late, {key: value for key, value in values.items() if not late or "increment" not in key})
        for step, late, values in rows
    ]


@given(_items, _items)
@example(
    [("trainer", 1, "a", 4, Kind.INCREMENT), ("trainer", 2, "a", 4, Kind.VALUE)],
    [("trainer", 0, "a", 4, Kind.INCREMENT)],
)
@settings(deadline=None)
def test_what_waits_makes_the_same_rows_anew(before, after):
    """After any flush: late rows, riders and further rows, totals and distributions.

    A late row alone carries the total of all that is committed, and not that at its own step.
    """
    policy = Policy(max_pending=10_000)
    reconciler = Reconciler(policy, Ledger())
    reconciler.add([made(number, *item) for number, item in enumerate(before)], 0.0)
    reconciler.advance(0.0)
    while reconciler.peek() is not None:
        reconciler.pop()
    reconciler.add([made(100 + number, *item) for number, item in enumerate(after)], 0.0)

    again = Reconciler(policy, Ledger())
    totals = reconciler.totals.so_far()
    if reconciler._committed is not None:
        again.start_at(reconciler._committed + 1, lambda key: totals.get(key, 0))
    again.add([*reconciler.waiting()], 0.0)
    expected, found = drained(reconciler), drained(again)
    assert without_totals_of_late_rows(expected) == without_totals_of_late_rows(found)
    for (_, late, values), (_, _, anew) in zip(expected, found, strict=True):
        assert all(anew[key] >= values[key] for key in values if late and "increment" in key)


def test_what_has_no_step_and_found_no_row_keeps_the_axis():
    """It belongs to the newest step, whose row is written."""
    reconciler = Reconciler(Policy(), Ledger())
    reconciler.add([Sample("trainer", 7, "loss", 1, 5, 1.0)], 0.0)
    assert [(7, False, {"loss": 1})] == drained(reconciler)
    reconciler.add([Sample("system", None, "memory", 2, 5, 2.0)], 0.0)
    again = Reconciler(Policy(), Ledger())
    again.start_at(8)
    again.add([*reconciler.waiting()], 0.0)
    assert [(7, False, {"memory": 2})] == drained(again)
