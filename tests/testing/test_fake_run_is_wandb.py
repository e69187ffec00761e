"""The differential test: the same log calls to a real offline run and to the fake one."""

import math
import pickle
import tempfile
from pathlib import Path

import run_programs
import wandb
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from otel_wandb_bridge.testing import FakeRun, read_rows, read_summary

PROGRAMS = Path(run_programs.__file__)
VERSION = tuple(int(part) for part in wandb.__version__.split(".")[:2])

THE_RULES = [
    [({}, None, None), ({"a": 1}, None, None), ({}, None, None)],
    [({}, 3, None), ({"a": 1}, None, None)],
    [({"a": 1}, 3, None), ({}, None, True), ({"b": 1}, None, None)],
    [({"a": 1}, 3, False), ({"b": 1}, None, False), ({"c": 1}, None, None), ({"d": 1}, 3, None)],
    [({"a": 1}, 3, True), ({"b": 1}, 3, None), ({"b": 2}, 2, None), ({"c": 1}, 4, None)],
    [({"a": 1}, None, False), ({"b": 1}, 0, None), ({"c": 1}, 5, None)],
    [({"x": 7}, 7, None), ({"x": 8}, None, None)],
    [({"a": 1}, 2, None), ({}, 4, None)],
    [({"a": 1}, -1, None), ({"b": 1}, None, None)],
    [({}, 0, True), ({"a": 1}, 0, None)],
    [({"d": {"x": 1}}, 0, None), ({"d": {"y": 2}}, 0, None), ({"d": {}}, 0, None), ({"d": 1}, 1, None)],
    [({"d": 1}, 0, None), ({"d": {}}, 0, None), ({"d": {"x": {}, "y": 1}}, 0, None)],
    [({"_step": 7, "a": 1}, None, None), ({"_step": 7, "a": 1}, 9, None), ({"_runtime": 3}, None, None)],
    [({"": 1}, None, None), ({"a": {"": 1}}, None, None), ({"a": {1: 2}, "a.b": 3}, None, None)],
    [({"a": 2**63, "b": -(2**63), "c": 2**53 + 1, "d": 1e21, "e": 10**400, "f": -0.0}, None, None)],
    [({"a": [1, math.nan, {"b": {}}], "b": (1, (2,)), "c": {3}, "d": b"x", "e": None}, None, None)],
    [({"a": 1}, None, None), ({"a": None, "b": {"c": None}}, None, None)],
    [({"h": wandb.Histogram([1, 2, 3], num_bins=2), "t": True}, None, None)],
    [
        ({"a": 1}, 2.5, None),
        ({"a": object()}, 2, None),
        ([1], 2, None),
        ({1: 2}, 2, None),
        ({"b": 1}, 1, None),
    ],
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
)
keys = st.sampled_from(["a", "b", "a.b", "train/loss", "é"])
values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(keys, scalars, max_size=2)
calls = st.tuples(
    st.dictionaries(keys, values, max_size=3),
    st.none() | st.integers(-3, 3),
    st.sampled_from([None, None, True, False]),
)


def _steps_from_offsets(calls):
    """Let the steps drift upwards, so that one run, dear to start, sees many rows, ties and late calls."""
    return [
        (data, None if offset is None else index // 2 + offset, commit)
        for index, (data, offset, commit) in enumerate(calls)
    ]


programs = st.lists(
    st.lists(calls, min_size=30, max_size=80).map(_steps_from_offsets), min_size=5, max_size=5
)


@given(programs)
@example(THE_RULES)
@settings(max_examples=4, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
def test_the_fake_run_does_what_an_offline_run_does(offline_process, programs):
    """Rows, summary, steps and refusals are those of a real run, whatever is logged."""
    with tempfile.TemporaryDirectory() as directory:
        output = offline_process(PROGRAMS, directory, input=pickle.dumps(programs))
        for program, (run_directory, outcomes) in zip(programs, pickle.loads(output), strict=True):
            with FakeRun() as fake:
                fake_outcomes = [run_programs.outcome_of(fake, call) for call in program]
            assert _comparable(read_rows(run_directory)) == _comparable(fake.rows), program
            assert _comparable(read_summary(run_directory)) == _comparable(dict(fake.summary)), program
            # Older versions count the steps they answer in the process of the user, by rules of their own.
            if VERSION >= (0, 31):
                assert outcomes == fake_outcomes, program


def _comparable(value):
    """Leave out what the clock decides, and make NaN equal to itself."""
    if isinstance(value, dict):
        return {
            key: _comparable(inner)
            for key, inner in value.items()
            if key not in ("_timestamp", "_runtime", "_wandb")
        }
    if isinstance(value, list):
        return [_comparable(inner) for inner in value]
    return "NaN" if isinstance(value, float) and math.isnan(value) else value
