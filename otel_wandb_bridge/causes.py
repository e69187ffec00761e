"""Why samples come late, and what each cause asks for."""

import enum
from collections import Counter
from collections.abc import Mapping

from .plural import count_of

LOG_THROUGH_IT = "Bridge.log, or WANDB_STEP_FIX_ENABLED=true for every wandb.log"


class Cause(enum.Enum):
    """What made a sample late."""

    OVERTAKEN = "overtaken"
    """Others were quicker than its source."""
    WENT_BACK = "went back"
    """Its own source had reported a higher step."""
    LEAP = "leap"
    """Its step was ahead of all reason."""
    BEFORE_START = "before the start"
    """The run had rows up to its step when the bridge came: it was resumed."""
    FOREIGN = "foreign"
    """As before, but by calls of `wandb.log` beside the bridge."""


def advice(
    late: Mapping[Cause, Counter[str]], *, hold: float, max_step_jump: int, furthest_back: int, ranks: int
) -> str:
    """What to set, or to change, so that nothing is late: a clause for each cause, the most frequent first.

    Args:
        late: How many samples each cause has made late, by source.
        hold: As of `Policy`.
        max_step_jump: As of `Policy`.
        furthest_back: How many steps a source went back at most.
        ranks: How many ranks have reported; 0 where none is known.
    """
    expected = f"expected_sources={ranks}" if ranks > 1 else "expected_sources"
    clauses = {
        Cause.OVERTAKEN: f"for one row a step raise hold above {hold:g} s, or set {expected}",
        Cause.WENT_BACK: f"it goes back by itself, by {count_of(furthest_back, 'step')} at most: set "
        f"disorder={furthest_back}, or give each of its components a source of its own (source=)",
        Cause.LEAP: f"its step leapt further ahead than max_step_jump={max_step_jump}: is it a timestamp?",
        Cause.BEFORE_START: "the run had rows of these steps before (it was resumed, or had another bridge)",
        Cause.FOREIGN: "wandb.log beside the bridge had used up these steps: log through the bridge instead "
        f"({LOG_THROUGH_IT})",
    }
    causes = sorted((cause for cause in late if late[cause]), key=lambda cause: -late[cause].total())
    if len(causes) < 2:
        return clauses[causes[0]] if causes else clauses[Cause.OVERTAKEN]
    return "; ".join(f"{_foremost(late[cause])}: {clauses[cause]}" for cause in causes)


def _foremost(counts: Counter[str]) -> str:
    ((name, _),) = counts.most_common(1)
    return name or "some" if len(counts) == 1 else f"{name or 'some'} and others"
