"""Instruments that record nothing, since no global meter provider was set for them."""

import gc

from opentelemetry.metrics import Instrument

from ..record.lane_gauges import global_gauges

_API = "opentelemetry.metrics."
_OF_THE_SDK = "otel."
"""How the semantic conventions begin the names of what the SDK says of itself."""


def silent_instruments() -> list[str]:
    """Their names, sorted.

    The API has no list of what waits for a provider: the heap is asked. Left out are those of the SDK and of
    the bridge itself.
    """
    ours = set(map(id, global_gauges().instruments))
    found = [
        each
        for each in gc.get_objects()
        if Instrument in type(each).__mro__
        and type(each).__module__.startswith(_API)
        and id(each) not in ours
    ]
    # Only to be read by people: a version that has no such attribute has them counted without a name.
    names = [str(getattr(each, "_name", "without a name")) for each in found]
    return sorted(name for name in names if not name.startswith(_OF_THE_SDK))
