"""The options of the exporter: argument, then environment, then default."""

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from .attributes import parse_priority
from .decode import Naming, default_naming
from .patterns import ByKey
from .reconcile import Policy, Reductions
from .reconcile.policy import names, number, whole_number
from .reconcile.totals import COUNTERS, TOTALS_ALONE
from .records import Sample
from .shared_options import PREFIX
from .spelling import refuse_unknown
from .write.distribution import ALL_ALIKE
from .write.statistics import checked

T = TypeVar("T")


WRITERS = ("auto", "thread", "process")
"""What writes the rows."""

WITHOUT_VARIABLE = ("naming", "on_late")
"""Options that are functions."""


@dataclass(frozen=True, slots=True)
class Options:
    """What an exporter was asked for, checked.

    Raises:
        TypeError, ValueError: naming the option, what came and what is expected.
    """

    step_metric: str = "global_step"
    step_keys: tuple[str, ...] = ("train/global_step", "trainer/global_step")
    policy: Policy = field(default_factory=Policy)
    priorities: Mapping[str, int] = field(default_factory=dict)
    writer: str = "auto"
    signal_grace: float = 20.0
    histograms: ByKey[tuple[str, ...]] = ALL_ALIKE
    naming: Naming = default_naming
    strict: bool = False
    summary_counts: bool = False
    trace_ids: bool = False
    self_metrics: bool = False
    on_late: Callable[[Sample], None] | None = None
    journal: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        key = self.step_metric
        if not isinstance(key, str) or not key or key.startswith("_") or "." in key or "*" in key:
            raise ValueError(
                "step_metric must be a key that W&B can take as an axis: a non-empty string without '.' or "
                f"'*' that does not begin with '_'; got {key!r}"
            )
        if self.writer not in WRITERS:
            raise ValueError(f"writer must be one of {', '.join(WRITERS)}; got {self.writer!r}")
        number("signal_grace", self.signal_grace, minimum=0.0)
        if not callable(self.naming):
            raise TypeError(f"naming must be a function of a name and attributes; got {self.naming!r}")
        if self.on_late is not None and not callable(self.on_late):
            raise TypeError(f"on_late must be a function of a late sample; got {self.on_late!r}")
        if self.journal is not None and not isinstance(self.journal, (str, os.PathLike)):
            raise TypeError(f"journal must be the path of a file; got {self.journal!r}")
        for option in ("strict", "summary_counts", "trace_ids", "self_metrics"):
            if not isinstance(getattr(self, option), bool):
                raise TypeError(f"{option} must be True or False; got {getattr(self, option)!r}")


def resolve(**given: Any) -> Options:
    """Options from arguments (None: not given), the environment, and the defaults, in this order.

    Raises:
        TypeError, ValueError: naming the option or variable, what came and what is expected.
    """
    refuse_unknown("resolve()", given, known_options())
    chosen = {name: value for name, value in given.items() if value is not None}
    for name, parse in _PARSERS.items():
        variable = PREFIX + name.upper()
        text = os.environ.get(variable, "").strip()
        if name in chosen or not text:
            continue
        try:
            chosen[name] = parse(text)
        except ValueError as error:
            raise ValueError(f"environment variable {variable}={text!r}: {error}") from None
    if "priorities" in chosen:
        chosen["priorities"] = _priorities(chosen["priorities"])
    if "step_keys" in chosen:
        chosen["step_keys"] = _keys(chosen["step_keys"])
    if "gating" in chosen:
        chosen["gating"] = names("gating", chosen["gating"])
    if "histograms" in chosen:
        chosen["histograms"] = _histograms(chosen["histograms"])
    if "counters" in chosen:
        chosen["counters"] = _counters(chosen["counters"])
    if "expected_sources" in chosen:
        chosen["expected_sources"] = _expected(chosen["expected_sources"])
    if "reduce" in chosen:
        chosen["reduce"] = _reductions(chosen["reduce"])
    rules = {rule.name for rule in fields(Policy)}
    policy = Policy(**{name: value for name, value in chosen.items() if name in rules})
    return Options(policy=policy, **{name: value for name, value in chosen.items() if name not in rules})


def known_options() -> list[str]:
    """The names of all options, sorted."""
    return sorted((*_PARSERS, *WITHOUT_VARIABLE))


def _names_in(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _priorities_in(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in _names_in(text)]
    if not all(equals for _, equals, _ in pairs):
        raise ValueError("expected source=priority pairs such as 'trainer=0,debug=10'")
    return {source.strip(): priority.strip() for source, _, priority in pairs}


def _by_key_in(text: str) -> dict[str, str]:
    """`increment`, or `tokens/*=increment; requests=total`: a choice for all keys, and by pattern."""
    choices = {}
    for entry in filter(None, map(str.strip, text.split(";"))):
        pattern, equals, choice = entry.rpartition("=")
        choices[pattern.strip() if equals else "*"] = choice.strip()
    return choices


def _expected_in(text: str) -> int | list[str]:
    return int(text) if text.isdigit() else _names_in(text)


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


_FLAGS = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}

_PARSERS: dict[str, Callable[[str], Any]] = {
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
    "counters": lambda text: _counters(_by_key_in(text)),
    "writer": str,
    "journal": str,
    "histograms": lambda text: _histograms(_by_key_in(text)),
}


def _by_key(option: str, given: Any, default: T, checked: Callable[[str, Any], T]) -> ByKey[T]:
    """A choice for all keys, or a mapping from patterns to choices, as `ByKey`.

    Raises:
        TypeError, ValueError: naming the option, what came and what is expected.
    """
    if isinstance(given, ByKey):
        return given
    if not isinstance(given, Mapping):
        return ByKey(checked(option, given))
    for pattern in given:
        if not isinstance(pattern, str) or not pattern:
            raise TypeError(f"{option} must have keys or patterns such as 'tokens/*'; got {pattern!r}")
    return ByKey(
        default,
        {pattern: checked(f"{option}[{pattern!r}]", choice) for pattern, choice in given.items()},
    )


def _counters(given: Any) -> ByKey[str]:
    return _by_key("counters", given, TOTALS_ALONE.default, _counter)


def _histograms(given: Any) -> ByKey[tuple[str, ...]]:
    return _by_key("histograms", given, ALL_ALIKE.default, checked)


def _counter(option: str, given: Any) -> str:
    if given not in COUNTERS:
        raise ValueError(f"{option} must be one of {', '.join(COUNTERS)}; got {given!r}")
    return str(given)


def _keys(given: Any) -> tuple[str, ...]:
    if (
        isinstance(given, str)
        or not isinstance(given, Collection)
        or not all(isinstance(k, str) for k in given)
    ):
        raise TypeError(f"step_keys must be a list of keys such as ['train/global_step']; got {given!r}")
    return tuple(given)


def _priorities(given: Any) -> dict[str, int]:
    if not isinstance(given, Mapping):
        raise TypeError(
            f"priorities must map source names to 0 … 10, such as {{'trainer': 0}}; got {given!r}"
        )
    priorities = {}
    for source, priority in given.items():
        if not isinstance(source, str):
            raise TypeError(f"priorities must have source names (strings) for keys; got {source!r}")
        try:
            priorities[source] = parse_priority(priority)
        except ValueError as error:
            raise ValueError(f"priorities[{source!r}]: {error}") from None
    return priorities


def _reductions(given: Any) -> Reductions:
    if not isinstance(given, Mapping):
        raise TypeError(f"reduce must map keys to statistics, such as {{'tokens': 'sum'}}; got {given!r}")
    return Reductions(given)


def _expected(given: Any) -> frozenset[str] | int:
    if isinstance(given, int):
        return whole_number("expected_sources", given, minimum=0)
    if isinstance(given, Collection):
        return names("expected_sources", given) or 0
    raise TypeError(f"expected_sources must be a number of sources or their names; got {given!r}")
