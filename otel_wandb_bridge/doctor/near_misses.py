"""Variables that nobody reads, and whose names are almost those of some that matter here."""

from collections.abc import Collection, Iterator, Mapping

from opentelemetry import environment_variables as of_the_api
from opentelemetry.sdk import environment_variables as of_the_sdk

from ..spelling import meant
from .finding import NOTE, Finding

_LIKENESS = 0.93
_FAMILIES = ("OTEL_", "WANDB_STEP")


def look_at_near_misses(variables: Mapping[str, str], known: Collection[str]) -> Iterator[Finding]:
    """Those of OpenTelemetry's kind and the drop-in's.

    Args:
        variables: The environment.
        known: The names that matter here.
    """
    taken = {*known, *vars(of_the_api), *vars(of_the_sdk)}
    for name in sorted(variables):
        close = meant(name, known, _LIKENESS) if name.startswith(_FAMILIES) and name not in taken else None
        if close is not None:
            yield Finding(name, NOTE, "nobody reads this variable", f"did you mean {close}?")
