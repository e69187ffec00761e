"""Values in one piece: what comes back is what went in, and what would not is refused."""

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import subprocess
import sys
import uuid
from struct import pack as packed_double

import numpy as np
import ormsgpack
import pytest
import wandb
from hypothesis import given
from hypothesis import strategies as st

from otel_wandb_bridge.record.packing import OPTIONS, count_of_values, pack, unpacked
from otel_wandb_bridge.testing import read_rows

text = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | text
nested = st.recursive(
    scalars, lambda each: st.lists(each, max_size=3) | st.dictionaries(text, each, max_size=3)
)


def packed(values):
    return pack(values, None, OPTIONS)


def told_apart(value):
    """Equal for values that are the same to the bit, of the same types and in the same order."""
    if type(value) is dict:
        return [(told_apart(key), told_apart(inner)) for key, inner in value.items()]
    if type(value) is list:
        return [list, *map(told_apart, value)]
    return type(value), packed_double("d", value) if type(value) is float else value


@given(st.dictionaries(text, nested, max_size=20))
def test_what_was_packed_comes_back_to_the_bit(values):
    assert told_apart(unpacked(packed(values))) == told_apart(values)


@given(st.dictionaries(text, nested, max_size=20))
def test_values_are_counted_without_a_look_at_them(values):
    assert count_of_values(packed(values)) == count_of_values(values) == len(values)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 255, 65_535, 65_536])
def test_any_number_of_values_is_counted(count):
    assert count_of_values(packed({str(number): 1.0 for number in range(count)})) == count


def test_a_change_afterwards_changes_nothing():
    values = {"loss": 1.0, "list": [1], "dict": {"a": [2]}}
    taken = packed(values)
    values["loss"] = 2.0
    values["list"].append(3)
    values["dict"]["a"].append(4)
    assert unpacked(taken) == {"loss": 1.0, "list": [1], "dict": {"a": [2]}}


class Level(enum.Enum):
    LOW = 1


class Number(enum.IntEnum):
    ONE = 1


class Words(str):
    """Text, and more."""


class Hostile:
    """Whatever it is asked, it raises."""

    def __getattribute__(self, name):
        raise RuntimeError(f"somebody asked for {name}")


@dataclasses.dataclass
class Point:
    x: float = 1.0


Pair = collections.namedtuple("Pair", "first second")

OTHER_VALUES = [
    np.float64(1.0),
    np.float32(1.0),
    np.int64(1),
    np.bool_(True),
    np.str_("words"),
    np.array(1.0),
    np.array([1.0, 2.0]),
    (1.0, 2.0),
    Pair(1, 2),
    {1, 2},
    frozenset((1, 2)),
    range(3),
    1j,
    decimal.Decimal(1),
    fractions.Fraction(1, 2),
    datetime.datetime(2026, 1, 1),
    datetime.date(2026, 1, 1),
    datetime.time(1),
    datetime.timedelta(1),
    uuid.UUID(int=1),
    Level.LOW,
    Number.ONE,
    Words("words"),
    type("Whole", (int,), {})(1),
    type("Real", (float,), {})(1.0),
    type("Many", (list,), {})([1]),
    collections.OrderedDict(a=1),
    collections.defaultdict(int, a=1),
    Point(),
    Point,
    object(),
    len,
    2**64,
    -(2**63) - 1,
    "\ud800",
    wandb.Histogram([1, 2]),
]


@pytest.mark.parametrize("value", OTHER_VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("within", [lambda value: value, lambda value: [value], lambda value: {"a": value}])
def test_what_would_come_back_as_something_else_is_refused(value, within):
    with pytest.raises(TypeError):
        packed({"loss": 1.0, "other": within(value)})


@pytest.mark.parametrize("key", [1, None, 1.5, True, b"a", ("a",), "\ud800", Level.LOW, Number.ONE])
@pytest.mark.parametrize("within", [lambda values: values, lambda values: {"a": values}])
def test_a_key_that_is_no_text_is_refused(key, within):
    with pytest.raises(TypeError):
        packed(within({"loss": 1.0, key: 2.0}))


def test_no_code_of_a_value_runs():
    with pytest.raises(TypeError):
        packed({"loss": 1.0, "other": Hostile()})
    with pytest.raises(TypeError):
        packed({"loss": 1.0, Hostile(): 1.0})


def test_what_is_far_too_deep_is_refused():
    values = {}
    for _ in range(100_000):
        values = {"a": values}
    with pytest.raises(TypeError):
        packed(values)
    while values:  # else its end would be too deep for older interpreters
        values = values["a"]


@pytest.mark.parametrize("value", [b"bytes", bytearray(b"bytes"), memoryview(b"bytes")])
def test_bytes_come_back_as_bytes(value):
    assert unpacked(packed({"a": value})) == {"a": b"bytes"}


def test_an_extension_type_is_for_wandb_to_refuse():
    values = unpacked(packed({"a": ormsgpack.Ext(1, b"x"), "b": 1}))
    assert (ormsgpack.Ext, 1) == (type(values["a"]), values["b"])


def test_a_dict_that_was_not_packed_is_itself():
    values = {"a": object()}
    assert unpacked(values) is values


WITHOUT = """
import sys
sys.modules["ormsgpack"] = None

import wandb
from otel_wandb_bridge import configure
from otel_wandb_bridge.wandb_step_fix import finalize_wandb_logging, patch_wandb_log

patch_wandb_log()
run = wandb.init(mode="offline", settings=wandb.Settings(console="off", silent=True))
values = {"loss": 1.0, "words": "abc", "list": [1, 2], "pair": (1, 2)}
run.log(values, step=3)
values["list"].append(3)
try:
    run.log({"loss": 1.0, 5: 2.0}, step=4)
except Exception:
    print("refused")
bridge = configure(run, set_global=False)
bridge.log({"bridged": 1.0, 5: 2.0}, step=5)
bridge.force_flush()
print("rejected:", bridge.stats().rejected)
finalize_wandb_logging()
run.finish()
print(run.settings.sync_file)
"""


def test_where_there_is_no_such_library_each_value_is_looked_at(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    refused, rejected, file = ended.stdout.splitlines()
    assert refused == "refused"
    assert rejected == "rejected: 1"
    rows = read_rows(file)
    assert [{key: value for key, value in row.items() if not key.startswith("_")} for row in rows] == [
        {"loss": 1, "words": "abc", "list": [1, 2], "pair": [1, 2], "global_step": 3},
        {"bridged": 1, "global_step": 5},
    ]
