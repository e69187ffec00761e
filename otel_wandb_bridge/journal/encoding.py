"""Samples and rows as JSON, and back.

What JSON has no word for (images, tables, arrays) is left out, and named to whoever asks.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..records import PLAIN, Buckets, Bundle, Distribution, Kind, Manner, Row, Sample
from ..sources import Process, Source

LeftOut = Callable[[str, Any], None]
"""Told the key and the value that cannot be kept."""

_TOLD_APART = (Distribution, Buckets)


def row_as_text(row: Row, left_out: LeftOut) -> str:
    """A row as JSON."""
    values = [[key, *_coded(value)] for key, value in _kept(row.values.items(), left_out)]
    totals = plain_of(row.totals)
    return as_text([row.step, row.time, row.samples, row.late, values, totals])


def row_from(text: str) -> Row:
    """The row that `row_as_text` was given."""
    step, time, samples, late, values, totals = json.loads(text)
    read = {key: _decoded(tag, value) for key, tag, value in values}
    return Row(step, read, time, samples, late, totals)


def samples_as_text(items: Iterable[Sample | Bundle], left_out: LeftOut) -> str:
    """Samples as JSON, in their order."""
    coded: list[list[Any]] = []
    for item in items:
        if type(item) is Bundle:
            values = [[key, value] for key, value in _kept(item.values.items(), left_out)]
            if values:
                manner = item.manner.value
                coded.append([_name(item.source), item.step, values, item.priority, item.time, manner])
        else:
            for key, value in _kept([(item.key, item.value)], left_out):
                tag, value = _coded(value)
                kind = item.kind.value
                coded.append([_name(item.source), item.step, key, value, item.priority, item.time, kind, tag])
    return as_text(coded)


def samples_from(text: str) -> list[Sample | Bundle]:
    """The samples that `samples_as_text` was given."""
    items: list[Sample | Bundle] = []
    for source, step, *rest in json.loads(text):
        if len(rest) == 4:
            values, priority, time, manner = rest
            items.append(Bundle(_source(source), step, dict(values), priority, time, Manner(manner)))
        else:
            key, value, priority, time, kind, tag = rest
            items.append(Sample(_source(source), step, key, _decoded(tag, value), priority, time, Kind(kind)))
    return items


def as_text(value: Any) -> str:
    """Plain values as JSON.

    Raises:
        TypeError, ValueError: there is no JSON for them.
    """
    return json.dumps(value, default=_plain)


def plain_of(totals: Mapping[str, Any]) -> dict[str, Any]:
    """Those that JSON has a word for."""
    return {key: total for key, total in totals.items() if _has_json(total)}


def _kept(pairs: Iterable[tuple[str, Any]], left_out: LeftOut) -> list[tuple[str, Any]]:
    kept = []
    for key, value in pairs:
        if type(value) in PLAIN or type(value) in _TOLD_APART or _has_json(value):
            kept.append((key, value))
        else:
            left_out(key, value)
    return kept


def _has_json(value: Any) -> bool:
    try:
        as_text(value)
    except Exception:  # whatever a value's own methods raise
        return False
    return True


def _plain(value: Any) -> Any:
    """The Python number in a scalar of NumPy, or a tensor of no dimension."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no JSON")


def _coded(value: Any) -> tuple[str, Any]:
    if type(value) is Distribution:
        return "distribution", [_coded(each) for each in value.values]
    if type(value) is Buckets:
        return "buckets", [value.intervals, value.count, value.sum, value.min, value.max]
    return "", value


def _decoded(tag: str, value: Any) -> Any:
    if tag == "distribution":
        return Distribution(tuple(_decoded(*each) for each in value))
    if tag == "buckets":
        intervals, *rest = value
        return Buckets(tuple((low, high, count) for low, high, count in intervals), *rest)
    return value


def _name(source: str) -> Any:
    if type(source) is not Source:
        return str(source)
    process = source.process
    return [source.name, process.service, process.instance, process.rank, process.world_size]


def _source(name: Any) -> str:
    if isinstance(name, str):
        return name
    component, *process = name
    return Process(*process).source(component)
