"""The values of a call, as they are now, in one piece of MessagePack.

A thread that logs has to copy its dict, and to see to it that each key is text and that no value can be
changed in place. One call of C does all of it for a third of what a copy and two loops in Python cost. What
waits then is half as large, and nothing that the garbage collector looks at.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

try:
    # Without the interpreter lock another thread may change the dict in the middle of it.
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        raise ImportError
    import ormsgpack
except ImportError:  # there is none for this interpreter: each call is looked at in Python
    ormsgpack = None  # type: ignore[assignment]

Packed = bytes
"""What `pack` makes of values."""


def _none_is_plain(values: Any, default: None = None, option: int | None = None) -> Packed:
    raise TypeError("ormsgpack is not installed")


def _passthrough() -> int:
    # All that would come back as something else.
    kinds = ("DATACLASS", "DATETIME", "ENUM", "SUBCLASS", "TUPLE", "UUID")
    options = 0
    for kind in kinds:
        options |= getattr(ormsgpack, f"OPT_PASSTHROUGH_{kind}")
    return options


pack: Callable[[Any, None, int | None], Packed] = _none_is_plain if ormsgpack is None else ormsgpack.packb
"""`pack(values, None, OPTIONS)`: text, numbers, booleans and None by key, and lists and dicts of these.

Runs no code of the values, and none of other threads. Raises TypeError for all else: a key that is no text (a
lone surrogate is none), a number beyond 64 bits, a value of any other class. Bytes, and what gives a view on
bytes, come back as bytes.

It is called as it is, and not through a function of ours, which would cost a fifth of it.
"""

OPTIONS: int | None = None if ormsgpack is None else _passthrough()


def unpacked(values: Mapping[Any, Any] | Packed) -> Any:
    """The dict that was packed, or what came.

    Raises:
        ValueError: it is not of `pack`.
    """
    return ormsgpack.unpackb(values, ext_hook=ormsgpack.Ext) if type(values) is bytes else values


def count_of_values(values: Mapping[Any, Any] | Packed) -> int:
    """How many there are, without a look at them."""
    if type(values) is not bytes:
        return len(values)
    # The head of a map: https://github.com/msgpack/msgpack/blob/master/spec.md#map-format-family
    head = values[0]
    if head < 0x90:
        return head & 0x0F
    return int.from_bytes(values[1:3] if head == 0xDE else values[1:5], "big")
