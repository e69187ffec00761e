"""Options as the environment writes them: a text in, a value to be checked out."""

import re
from collections.abc import Callable
from typing import Any

from .autostart import NO, YES

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def _names_in(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _priorities_in(text: str) -> dict[str, int | str]:
    pairs = [pair.partition("=") for pair in _names_in(text)]
    if not all(equals for _, equals, _ in pairs):
        raise ValueError("expected source=priority pairs such as 'trainer=0,debug=10'")
    return {source.strip(): _number_or_text(priority.strip()) for source, _, priority in pairs}


def _number_or_text(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


def _by_key_in(text: str) -> dict[str, str]:
    """`increment`, or `tokens/*=increment; requests=total`: a choice for all keys, and by pattern."""
    choices = {}
    for entry in filter(None, map(str.strip, text.split(";"))):
        pattern, equals, choice = entry.rpartition("=")
        choices[pattern.strip() if equals else "*"] = choice.strip()
    return choices


def _expected_in(text: str) -> int | list[str]:
    return _whole_in(text) if _NUMBER.fullmatch(text) else _names_in(text)


def _reductions_in(text: str) -> dict[str, list[str]]:
    pairs = [pair.partition("=") for pair in _names_in(text)]
    if not all(equals for _, equals, _ in pairs):
        raise ValueError("expected key=statistic pairs such as 'loss=mean,tokens=sum,time/*=mean|max|p95'")
    return {key.strip(): [each.strip() for each in wanted.split("|")] for key, _, wanted in pairs}


def _whole_in(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("expected a whole number") from None


def _number_in(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("expected a number") from None


def _flag_in(text: str) -> bool:
    word = text.lower()
    if word not in _FLAGS:
        raise ValueError(f"expected one of {', '.join(_FLAGS)}")
    return _FLAGS[word]


_FLAGS = {**dict.fromkeys(YES, True), **dict.fromkeys(NO, False)}

PARSERS: dict[str, Callable[[str], Any]] = {
    "step_metric": str,
    "step_keys": _names_in,
    "late": str,
    "hold": _number_in,
    "disorder": _whole_in,
    "max_pending": _whole_in,
    "max_step_jump": _whole_in,
    "signal_grace": _number_in,
    "priorities": _priorities_in,
    "gating": _names_in,
    "expected_sources": _expected_in,
    "reduce": _reductions_in,
    "strict": _flag_in,
    "summary_counts": _flag_in,
    "trace_ids": _flag_in,
    "self_metrics": _flag_in,
    "counters": _by_key_in,
    "writer": str,
    "journal": str,
    "histograms": _by_key_in,
}
"""By option, how its variable is read."""
