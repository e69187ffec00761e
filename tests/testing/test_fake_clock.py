import math

import pytest

from otel_wandb_bridge.testing import FakeClock


def test_a_fake_clock_stands_still_until_it_is_advanced():
    """Reading the time does not change it."""
    clock = FakeClock(start=10)

    assert (10.0, 10.0) == (clock(), clock())
    clock.advance(2.5)
    assert 12.5 == clock()


def test_a_fake_clock_begins_at_zero():
    """Unless told otherwise."""
    assert 0.0 == FakeClock()()


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan])
def test_a_fake_clock_never_goes_back(seconds):
    """The error names the value, and the time stays."""
    clock = FakeClock()

    with pytest.raises(ValueError, match=str(seconds)):
        clock.advance(seconds)
    assert 0.0 == clock()
