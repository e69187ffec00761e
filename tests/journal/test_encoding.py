"""Rows and samples come back from the journal as they were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_wandb_bridge.journal.encoding import row_as_text, row_from, samples_as_text, samples_from
from otel_wandb_bridge.records import Buckets, Bundle, Distribution, Kind, Manner, Row, Sample
from otel_wandb_bridge.sources import Process, Source

_scalars = st.one_of(st.integers(), st.floats(allow_nan=False), st.text(), st.booleans(), st.none())
_plain = st.recursive(
    _scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
)
_buckets = st.builds(
    Buckets,
    st.lists(st.tuples(st.floats(0, 1), st.floats(1, 2), st.integers(1, 9))).map(tuple),
    st.integers(0, 99),
    st.none() | st.floats(0, 9),
)
_distributions = st.builds(Distribution, st.lists(st.floats(0, 9) | _buckets).map(tuple))
_steps = st.none() | st.integers()
_sources = st.text() | st.builds(
    Source, st.text(), st.builds(Process, st.text(), st.text(), st.none() | st.integers(0, 9))
)


def refuse(key, value):
    """Nothing is to be left out here."""
    pytest.fail(f"{key} was left out: {value!r}")


@given(
    st.builds(
        Row,
        _steps,
        st.dictionaries(st.text(), _plain | _distributions),
        st.floats(0, 2e9),
        st.integers(0, 99),
        st.booleans(),
        st.dictionaries(st.text(), st.integers()),
    )
)
def test_a_row_comes_back(row):
    """With its values in their order."""
    back = row_from(row_as_text(row, refuse))
    assert row == back
    assert list(row.values) == list(back.values)


@given(
    st.lists(
        st.builds(
            Sample,
            _sources,
            _steps,
            st.text(),
            _plain | _buckets,
            st.integers(0, 10),
            st.floats(0, 2e9),
            st.sampled_from(Kind),
        )
    )
)
def test_samples_come_back(samples):
    """Their sources, too: a process and its component."""
    back = samples_from(samples_as_text(samples, refuse))
    assert samples == back
    assert [type(each.source) for each in samples] == [type(each.source) for each in back]


@pytest.mark.parametrize("manner", Manner)
def test_a_call_comes_back(manner):
    """As a whole."""
    (back,) = samples_from(
        samples_as_text([Bundle("trainer", 3, {"b": 1, "a": [2, "x"]}, 0, 5.0, manner)], refuse)
    )
    assert ("trainer", 3, 0, 5.0, manner) == (back.source, back.step, back.priority, back.time, back.manner)
    assert [("b", 1), ("a", [2, "x"])] == list(back.values.items())


def test_not_a_number_comes_back():
    """W&B keeps NaN and infinities."""
    back = row_from(row_as_text(Row(0, {"a": float("nan"), "b": float("-inf")}, 1.0, 2), refuse))
    assert back.values["a"] != back.values["a"]
    assert float("-inf") == back.values["b"]


def test_a_scalar_of_numpy_is_a_number():
    """And an array is left out, by name."""
    numpy = pytest.importorskip("numpy")
    gone = []
    row = Row(0, {"a": numpy.float32(0.5), "b": numpy.zeros(3), "c": numpy.int64(7)}, 1.0, 3)
    back = row_from(row_as_text(row, lambda key, value: gone.append(key)))
    assert {"a": 0.5, "c": 7} == dict(back.values)
    assert ["b"] == gone


class Broken:
    """Raises whatever it is asked."""

    def __getattribute__(self, name):
        raise RuntimeError(name)


def test_a_value_that_raises_is_left_out():
    """The training goes on."""
    gone = []
    items = samples_as_text(
        [Bundle("a", 1, {"x": Broken(), "y": 1}, 5, 1.0)], lambda key, value: gone.append(key)
    )
    (back,) = samples_from(items)
    assert {"y": 1} == dict(back.values)
    assert ["x"] == gone
