"""What may stand in `step` and `priority`."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorder import Recorder

from otel_wandb_bridge.attributes import default_priority, parse_priority, parse_step
from otel_wandb_bridge.record import step_views


class Tensor:
    """As much of a zero-dimensional tensor as a step needs."""

    def __repr__(self):
        return "Tensor()"

    def __init__(self, value, dtype="torch.int64"):
        self.value, self.dtype = value, dtype

    def __index__(self):
        if isinstance(self.value, float):
            raise TypeError("only integer tensors can be converted to an index")
        return self.value

    def __float__(self):
        return float(self.value)


class Broken:
    """Raises whatever it is asked."""

    @property
    def dtype(self):
        raise RuntimeError("deleted")

    def __repr__(self):
        raise RuntimeError("unprintable")


TAKEN = [
    (5, 5),
    (0, 0),
    (2**63 - 1, 2**63 - 1),
    (np.int64(5), 5),
    (np.uint8(5), 5),
    (np.array(5), 5),
    (np.array(5.0), 5),
    (np.float32(5.0), 5),
    (5.0, 5),
    (-0.0, 0),
    ("5", 5),
    (" 5 ", 5),
    ("5.0", 5),
    ("005", 5),
    (np.str_("5"), 5),
    (Tensor(5), 5),
    (Tensor(5.0, "torch.float32"), 5),
]
REFUSED = [
    True,
    False,
    np.bool_(True),
    np.array(True),
    Tensor(1, "torch.bool"),
    -1,
    -1.0,
    "-1",
    2**63,
    float(2**63),
    str(2**63),
    "9" * 5000,
    5.5,
    "5.5",
    math.nan,
    math.inf,
    "nan",
    "inf",
    "1e3",
    "+5",
    "5_0",
    "\u0665",
    "",
    "five",
    None,
    b"5",
    bytearray(b"5"),
    memoryview(b"5"),
    5j,
    [5],
    (5,),
    np.array([5, 6]),
    {},
    object(),
]


@pytest.mark.parametrize(("given", "step"), TAKEN, ids=repr)
def test_whole_numbers_in_any_guise_are_steps(given, step):
    """Ints, integral floats, digits as text, and scalars of arrays and tensors are taken, as plain ints."""
    parsed = parse_step(given)
    assert step == parsed
    assert int is type(parsed)


@pytest.mark.parametrize("given", [*REFUSED, Broken()], ids=lambda given: type(given).__name__)
def test_everything_else_is_refused_by_name(given):
    """What came and what is expected are said; nothing but ValueError is raised."""
    with pytest.raises(ValueError, match="a step is an int, 0 or greater") as refusal:
        parse_step(given)
    assert type(given).__name__ in str(refusal.value)
    assert 250 > len(str(refusal.value))


def test_none_is_explained():
    """Since 1.45.0 the SDK hands on None for objects that it does not know."""
    with pytest.raises(ValueError, match="unknown types into None"):
        parse_step(None)


@settings(deadline=None)
@given(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers()
)
def test_a_step_is_parsed_or_refused_whatever_it_is(given):
    """The result is in the range of W&B's `_step`, equals what was given, and reads the same again."""
    try:
        step = parse_step(given)
    except ValueError:
        return
    assert 0 <= step < 2**63
    assert step == float(given) or step == int(given)
    assert step == parse_step(str(step)) == parse_step(step)


@settings(deadline=None)
@given(st.integers(0, 2**63 - 1))
def test_every_step_survives_baggage(step):
    """Baggage is text, and a step in it is the step that was put there."""
    assert step == parse_step(str(step))


@pytest.mark.parametrize("given", [0, 10, "3", 3.0, np.int64(3)])
def test_a_priority_is_a_step_up_to_ten(given):
    """Priorities come in the same guises as steps."""
    assert int(given) == parse_priority(given)


@pytest.mark.parametrize(
    "given", [-1, 11, True, "high", None, 2.5, Broken()], ids=lambda given: str(type(given))
)
def test_other_priorities_are_refused_by_name(given):
    """What came and what is expected are said."""
    with pytest.raises(ValueError, match=r"a priority is an int from 0 \(highest\) to 10 \(lowest\)"):
        parse_priority(given)


def test_a_source_without_a_priority_has_that_of_the_options_else_five():
    """The middle is where nothing is said."""
    assert 1 == default_priority("trainer", {"trainer": 1})
    assert 5 == default_priority("evaluator", {"trainer": 1})


@pytest.mark.parametrize(("given", "step"), TAKEN, ids=repr)
def test_steps_arrive_through_a_real_gauge(given, step):
    """Whatever the SDK does to attributes on the way (1.45.0 and later turn `np.int64(5)` into text)."""
    if isinstance(given, Tensor):
        given = np.array(given.value)
    recorder = Recorder(views=step_views())
    recorder.meter.create_gauge("loss").set(1.0, {"step": given})
    assert [step] == recorder.steps()


@pytest.mark.parametrize("given", REFUSED, ids=lambda given: type(given).__name__)
def test_bad_steps_pass_a_real_gauge_without_raising(given):
    """The measurement arrives with the reason in place of its step, also where a good step is ambient."""
    recorder = Recorder(views=step_views())
    recorder.meter.create_gauge("loss").set(1.0, {"step": given})
    [reason] = recorder.steps()
    assert "a step is an int, 0 or greater" in reason
