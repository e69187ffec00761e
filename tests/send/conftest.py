"""A receiver for the tests of workers."""

import pytest
from receiver_double import receiving


@pytest.fixture
def receiver():
    """A receiver double that is listening."""
    with receiving() as double:
        yield double
