"""The exemplars of our reservoirs, read off the wire: most of what a receiver decodes.

An exemplar that has nothing but its time, its value and its step has a fixed layout in protobuf (encoding of
protocol buffers, "Message Structure"). A run of them is unpacked at once, which takes a tenth of what one
message object for each takes. Whatever has another layout is left to the messages.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from ..attributes import SETTLED_STEP

TAGS = {"gauge": 0x2A, "sum": 0x2A, "histogram": 0x42, "exponential_histogram": 0x5A}
"""The tag of `exemplars` in a data point, by the kind of its metric."""

_KEY = SETTLED_STEP.encode()
_AS_DOUBLE, _AS_INT = 0x19, 0x31
_LONGEST_STEP = 9
"""Bytes of a varint that holds a signed 64-bit number which is not negative."""


class Columns(NamedTuple):
    """Exemplars that follow each other, column by column."""

    times: Sequence[int]
    """Nanoseconds since the epoch."""
    values: Sequence[float]
    steps: Sequence[int]


def start_of(data_point: bytes, tag: int) -> int | None:
    """Where the first field with this tag begins; None: there is none."""
    at, end = 0, len(data_point)
    while at < end:
        this = data_point[at]
        if this == tag:
            return at
        wire_type = this & 7
        if this & 0x80 or wire_type not in (0, 1, 2, 5):
            return None
        if wire_type == 2:
            length, at = _varint(data_point, at + 1)
            at += length
        elif wire_type == 0:
            _, at = _varint(data_point, at + 1)
        else:
            at += 9 if wire_type == 1 else 5
    return None


def after(data_point: bytes, at: int) -> int:
    """Where the field after the length-delimited one at this place begins."""
    length, body = _varint(data_point, at + 1)
    return body + length


def columns(data_point: bytes, tag: int, at: int) -> tuple[list[Columns], int]:
    """The exemplars from a place on, as long as they have the plain layout.

    Returns:
        The exemplars, and the place after them.
    """
    found: list[Columns] = []
    end = len(data_point)
    while at < end and data_point[at] == tag and at + 12 < end:
        size = data_point[at + 1] - 35
        layout = _layout(tag, data_point[at + 11], size) if 1 <= size <= _LONGEST_STEP else None
        run = None if layout is None else layout[0].match(data_point, at)
        if layout is None or run is None:
            break
        unpacked = list(zip(*layout[1].iter_unpack(data_point[at : run.end()]), strict=True))
        found.append(Columns(unpacked[0], unpacked[1], _steps(unpacked[2:])))
        at = run.end()
    return found, at


@lru_cache(64)
def _layout(tag: int, value_tag: int, size: int) -> tuple[re.Pattern[bytes], Struct] | None:
    """Pattern and structure of exemplars whose step takes `size` bytes; None: the layout is another."""
    if value_tag not in (_AS_DOUBLE, _AS_INT):
        return None
    attribute = bytes((0x0A, len(_KEY))) + _KEY + bytes((0x12, size + 1, 0x18))
    head = re.escape(bytes((tag, size + 35, 0x11))) + b".{8}" + re.escape(bytes((value_tag,))) + b".{8}"
    tail = re.escape(bytes((0x3A, len(attribute) + size)) + attribute)
    step = rb"[\x80-\xff]" * (size - 1) + rb"[\x00-\x7f]"
    kind = "d" if value_tag == _AS_DOUBLE else "q"
    structure = Struct(f"<3xQx{kind}{2 + len(attribute)}x{size}B")
    return re.compile(b"(?:" + head + tail + step + b")+", re.DOTALL), structure


def _steps(digits: Sequence[Sequence[int]]) -> Sequence[int]:
    """Numbers out of the bytes of varints, the lowest seven bits first."""
    if len(digits) == 1:
        return digits[0]
    if len(digits) == 2:
        return [low - 128 + (high << 7) for low, high in zip(*digits, strict=True)]
    if len(digits) == 3:
        return [low - 128 + (mid - 128 << 7) + (high << 14) for low, mid, high in zip(*digits, strict=True)]
    return [
        sum((digit & 0x7F) << 7 * place for place, digit in enumerate(number))
        for number in zip(*digits, strict=True)
    ]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        digit = data[at]
        at += 1
        value |= (digit & 0x7F) << shift
        if digit < 0x80:
            return value, at
        shift += 7
