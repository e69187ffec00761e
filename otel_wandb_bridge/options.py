"""The options of the exporter: argument, then environment, then default."""

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from .attributes import parse_priority
from .decode import Naming, default_naming
from .option_texts import PARSERS
from .patterns import ByKey
from .reconcile import Policy, Reductions
from .reconcile.policy import names, number, whole_number
from .reconcile.totals import COUNTERS, TOTALS_ALONE
from .records import Sample
from .shared_options import PREFIX
from .spelling import refuse_unknown
from .variables import say_unknown
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
    say_unknown()
    chosen = {name: value for name, value in given.items() if value is not None}
    heard = {name: _heard(name, text) for name, text in _said(os.environ).items() if name not in chosen}
    return _made({**heard, **chosen})


def unusable(environ: Mapping[str, str]) -> dict[str, str]:
    """By name, the variables that cannot be used, with what is wrong with them."""
    wrong = {}
    for name, text in _said(environ).items():
        try:
            _heard(name, text)
        except ValueError as error:
            wrong[_variable(name)] = str(error)
    return wrong


def known_options() -> list[str]:
    """The names of all options, sorted."""
    return sorted((*PARSERS, *WITHOUT_VARIABLE))


def _said(environ: Mapping[str, str]) -> dict[str, str]:
    texts = {name: environ.get(_variable(name), "").strip() for name in PARSERS}
    return {name: text for name, text in texts.items() if text}


def _heard(name: str, text: str) -> Any:
    """What the environment says of one option, checked by itself: an error is to name the variable."""
    try:
        value = PARSERS[name](text)
        _made({name: value})
    except (TypeError, ValueError) as error:
        raise ValueError(f"environment variable {_variable(name)}={text!r}: {error}") from None
    return value


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _made(chosen: Mapping[str, Any]) -> Options:
    checked = {name: _CHECKS[name](value) if name in _CHECKS else value for name, value in chosen.items()}
    rules = {rule.name for rule in fields(Policy)}
    policy = Policy(**{name: value for name, value in checked.items() if name in rules})
    return Options(policy=policy, **{name: value for name, value in checked.items() if name not in rules})


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
        except ValueError:
            raise ValueError(
                f"priorities[{source!r}] must be a whole number from 0 (highest) to 10 (lowest); "
                f"got {priority!r}"
            ) from None
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


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "priorities": _priorities,
    "step_keys": _keys,
    "gating": lambda given: names("gating", given),
    "histograms": _histograms,
    "counters": _counters,
    "expected_sources": _expected,
    "reduce": _reductions,
}
"""Options that are taken in more than one form."""
