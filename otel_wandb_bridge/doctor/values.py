"""Values of variables that W&B and `otel-wandb serve` read, and would refuse."""

from collections.abc import Callable, Iterator, Mapping

from ..shared_options import PREFIX
from ..spelling import meant
from .finding import TROUBLE, Finding

_MODES = ("online", "offline", "disabled", "shared", "run", "dryrun")
_HIGHEST_PORT = 65_535


def look_at_values(variables: Mapping[str, str]) -> Iterator[Finding]:
    """Each that cannot be used, with what is expected."""
    mode = variables.get("WANDB_MODE", "").strip().lower()
    if mode and mode not in _MODES:
        close = meant(mode, _MODES)
        mend = f"did you mean {close}?" if close else "correct the variable, or unset it"
        text = f"{mode!r} is none of {', '.join(_MODES)}: wandb.init fails"
        yield Finding("WANDB_MODE", TROUBLE, text, mend)
    for rest, (takes, expected) in _OF_THE_RECEIVER.items():
        name = f"{PREFIX}RECEIVER_{rest}"
        value = variables.get(name, "").strip()
        if value and not _is_taken(takes, value):
            text = f"{value!r}: expected is {expected}"
            yield Finding(name, TROUBLE, text, "correct the variable, or unset it")


def _is_taken(takes: Callable[[str], bool], value: str) -> bool:
    try:
        return takes(value)
    except ValueError:
        return False


def _is_port(value: str) -> bool:
    return 0 <= int(value) <= _HIGHEST_PORT


def _is_size(value: str) -> bool:
    return int(value) >= 1


_PORT = (_is_port, f"a whole number from 0 to {_HIGHEST_PORT}")
_SIZE = (_is_size, "a whole number of bytes, 1 or more")
_OF_THE_RECEIVER: dict[str, tuple[Callable[[str], bool], str]] = {
    "PORT": _PORT,
    "GRPC_PORT": _PORT,
    "MAX_BODY_BYTES": _SIZE,
    "MAX_WAITING_BYTES": _SIZE,
    "MAX_JOURNAL_BYTES": _SIZE,
    "REORDER": (lambda value: float(value) >= 0, "a number of seconds, 0 or more"),
}
