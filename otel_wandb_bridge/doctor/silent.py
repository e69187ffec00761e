"""Instruments that record nothing, since no global meter provider was set for them."""

import gc
from collections.abc import Iterable

from opentelemetry.metrics import Instrument

from ..record.lane_gauges import global_gauges

_MOST_NAMES = 5
_API = "opentelemetry.metrics."
_OF_THE_SDK = "otel."
"""How the semantic conventions begin the names of what the SDK says of itself."""


def silent_instruments() -> list[str]:
    """Their names, sorted.

    The API has no list of what waits for a provider: the heap is asked. Left out are those of the SDK and of
    the bridge itself.
    """
    ours = set(map(id, global_gauges().instruments))
    return names_of(each for each in instruments_of(_API) if id(each) not in ours)


def instruments_of(module: str) -> list[Instrument]:
    """The instruments of this process whose class is of a module that begins like this."""
    return [
        each
        for each in gc.get_objects()
        if Instrument in type(each).__mro__ and type(each).__module__.startswith(module)
    ]


def names_of(instruments: Iterable[Instrument]) -> list[str]:
    """Their names, sorted, without those of the SDK."""
    # Only to be read by people: a version that has no such attribute has them counted without a name.
    names = (str(getattr(each, "_name", getattr(each, "name", "without a name"))) for each in instruments)
    return sorted(name for name in names if not name.startswith(_OF_THE_SDK))


def first_of(names: list[str]) -> str:
    """The first five of some names, in one line."""
    return ", ".join(names[:_MOST_NAMES]) + (", …" if len(names) > _MOST_NAMES else "")
