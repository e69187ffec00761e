"""The attributes that mean something to the bridge, and what may stand in them.

Shared by all stages; standard library only.
"""

import math
import operator
import re
from collections.abc import Mapping
from typing import Any

from .records import DEFAULT_PRIORITY
from .sources import name_of

STEP = "step"
SOURCE = "source"
PRIORITY = "priority"

SETTLED_STEP = "wandb.step"
"""On every exemplar of a keep-all reservoir, and on no other: the step as it was settled when the value was
recorded. An int is the step; False says unstepped; a string says why the step given cannot be used; True
says that no measurement came since the last collection (the data point is the reservoir's all the same)."""
OBSERVED = "wandb.observed"
"""True on the exemplars of observable instruments: the value is what the callback said, not an increment."""
SHED = "wandb.shed"
"""How many measurements the full reservoir did not keep since the last collection."""

OWN_SCOPE = "otel_wandb_bridge"
"""Instrumentation scope of the bridge's own counts."""
SELF_SCOPES = frozenset((OWN_SCOPE, "opentelemetry-sdk"))
"""Instrumentation scopes in which the bridge and the SDK observe themselves."""
LANE_SCOPE = "otel_wandb_bridge.log"
"""Instrumentation scope of what the direct lane shows to other readers."""
SENT_SCOPE = "otel_wandb_bridge.sent"
"""Instrumentation scope of calls of `Bridge.log` that a worker sends: their names are keys as they are."""

_WHOLE = re.compile(r"\d{1,19}(\.0*)?")
LARGEST_STEP = 2**63 - 1
"""W&B's `_step` is a signed 64-bit number."""


def parse_step(value: Any) -> int:
    """Return the training step that `value` stands for.

    Taken are ints, integral floats, digit strings (baggage is text), and NumPy or tensor scalars of these
    (zero-dimensional arrays). W&B's `_step` is a signed 64-bit number.

    Raises:
        ValueError: with what came and what is expected, for all else: bool, negative, NaN, other text.
    """
    try:
        return _step(value)
    except Exception:  # an object may raise what it likes
        raise ValueError(_unusable(value)) from None


def parse_priority(value: Any) -> int:
    """Return the priority that `value` stands for.

    Raises:
        ValueError: with what came and what is expected.
    """
    try:
        priority = parse_step(value)
    except ValueError:
        priority = -1
    if not 0 <= priority <= 10:
        raise ValueError(f"{_shown(value)}: a priority is an int from 0 (highest) to 10 (lowest)")
    return priority


def default_priority(source: str, priorities: Mapping[str, int]) -> int:
    """The priority of a source that says none with its measurement."""
    if source in priorities:
        return priorities[source]
    return priorities.get(name_of(source), DEFAULT_PRIORITY) if priorities else DEFAULT_PRIORITY


def _step(value: Any) -> int:
    if type(value) is int:
        step = value
    elif isinstance(value, str):
        text = value.strip()
        if not text.isascii() or not _WHOLE.fullmatch(text):
            raise ValueError(_unusable(value))
        step = int(text.partition(".")[0])
    else:
        step = _whole(value)
    if not 0 <= step <= LARGEST_STEP:
        raise ValueError(_unusable(value))
    return step


def _whole(value: Any) -> int:
    try:
        if isinstance(value, bool) or "bool" in str(getattr(value, "dtype", "")):
            raise TypeError
        try:
            return operator.index(value)
        except TypeError:
            number = value.__float__()  # float() would read the text in bytes too
    except Exception:
        raise ValueError(_unusable(value)) from None
    if not math.isfinite(number) or not number.is_integer():
        raise ValueError(_unusable(value))
    return int(number)


def _unusable(value: Any) -> str:
    hint = " (the OpenTelemetry SDK turns values of unknown types into None)" if value is None else ""
    return f"{_shown(value)}{hint}: a step is an int, 0 or greater"


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = "unprintable"
    return f"{text[:80]} of type {type(value).__name__}"
