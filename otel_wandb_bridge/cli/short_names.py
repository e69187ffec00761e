"""Names of sources that fit into a table: a process is named by a uuid where nobody says a better name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable

_UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_LENGTH = 8
_LONG = 24


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Each name with its long parts cut, no two of them alike.

    A uuid is cut to its first digits, another part of more than 24 characters to its beginning and end. Names
    that would look alike have the end of their uuids, too; if that does not tell them apart, they stay whole.
    """
    short: dict[str, str] = {}
    left = list(dict.fromkeys(names))
    for cut in (_beginning, _both_ends):
        cuts = {name: "/".join(_cut(part, cut) for part in name.split("/")) for name in left}
        counts = Counter((*cuts.values(), *short.values()))
        short |= {name: text for name, text in cuts.items() if counts[text] == 1}
        left = [name for name in left if name not in short]
    return short | {name: name for name in left}


def _cut(part: str, cut: Callable[[str], str]) -> str:
    if _UUID.fullmatch(part):
        return cut(part)
    return _both_ends(part) if len(part) > _LONG else part


def _beginning(part: str) -> str:
    return f"{part[:_LENGTH]}…"


def _both_ends(part: str) -> str:
    return f"{part[:_LENGTH]}…{part[-_LENGTH:]}"
