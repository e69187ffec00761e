"""What is said of a run when it is over, and what its tests are told at a flush: only what went otherwise."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from .causes import Cause, advice
from .ledger import Ledger
from .plural import count_of
from .reconcile import Policy
from .stats import Stats

COUNTS = "bridge/"
"""Under which the counts stand in the run's summary."""

_TOTALS = (
    "recorded",
    "written",
    "overridden",
    "dropped",
    "shed",
    "late",
    "late_rows",
    "rows",
    "foreign_steps",
)
_MOST_NAMES = 3
_MOST_SOURCES = 200
_OTHERS = "other sources"


class SamplesLost(RuntimeError):
    """With `strict=True`: samples that were recorded are not in the run, and will not be.

    Attributes:
        stats: The counts at that moment.
    """

    def __init__(self, text: str, stats: Stats) -> None:
        super().__init__(text)
        self.stats = stats


class Verdict:
    """The counts of one run, which begin where those of the run before ended.

    Args:
        ledger: The counts of the pipeline, over all runs.
        policy: What was asked for: the line says what to change.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, ledger: Ledger, policy: Policy) -> None:
        self._ledger = ledger
        self._policy = policy
        self._before = _counts_of(ledger)
        self._said = ""
        self.had_run = True
        """Whether there was a run to write."""
        self.ranks = 0
        """How many ranks have reported, where there are any."""

    def counts(self) -> dict[str, Counter[str]]:
        """Since the run began: totals by name; the rest by reason (`rejected`) or source."""
        return {name: counts - self._before[name] for name, counts in _counts_of(self._ledger).items()}

    def line(self) -> tuple[str, bool]:
        """The one line, empty where there is nothing (new) to say, and whether it speaks of a loss."""
        counts = self.counts()
        totals, late = counts["totals"], counts["late"]
        parts = []
        if counts["rejected"]:
            parts.append(f"{_many(counts['rejected'])} rejected ({_named(counts['rejected'])}): see the log")
        if totals["shed"]:
            text = (
                "W&B did not take rows"
                if self.had_run
                else "there was no run to write them to; call wandb.init"
            )
            parts.append(f"{totals['shed']:,} shed: {text}; see the log")
        if totals["dropped"]:
            text = f"late='keep' writes them; {self._advice()}"
            parts.append(f"{totals['dropped']:,} dropped, being late ({_named(late)}): {text}")
        elif late:
            parts.append(f"{_many(late)} late ({_named(late)}), with their true step: {self._advice()}")
        if counts["overridden"]:
            text = "of two values of one key and step, the higher priority stands, then the later"
            parts.append(f"{_many(counts['overridden'])} overridden ({_named(counts['overridden'])}): {text}")
        line = "; ".join(parts)
        if not line or line == self._said:
            return "", False
        self._said = line
        return f"otel-wandb-bridge: samples {line}", bool(
            counts["rejected"] or totals["shed"] or totals["dropped"]
        )

    def _advice(self) -> str:
        counts = self.counts()
        policy, ledger = self._policy, self._ledger
        return advice(
            {cause: counts[cause.value] for cause in Cause},
            hold=policy.hold,
            max_step_jump=policy.max_step_jump,
            furthest_back=ledger.furthest_back,
            ranks=self.ranks,
        )

    def sources(self, steps: Mapping[str, int]) -> dict[str, dict[str, int]]:
        """Each source's highest step, and how many of its samples were late or overridden.

        Past 200 sources, those of the others are one entry.

        Args:
            steps: The highest step that each source has reported.
        """
        counts = self.counts()
        late, overridden = counts["late"], counts["overridden"]
        told = {
            source: {"step": step, "late": late[source], "overridden": overridden[source]}
            for source, step in steps.items()
        }
        if len(told) <= _MOST_SOURCES:
            return told
        names = list(told)
        shown = {name: told[name] for name in names[:_MOST_SOURCES]}
        others = [told[name] for name in names[_MOST_SOURCES:]]
        return shown | {
            _OTHERS: {
                "step": max(each["step"] for each in others),
                "late": sum(each["late"] for each in others),
                "overridden": sum(each["overridden"] for each in others),
            }
        }

    def summary(self, steps: Mapping[str, int]) -> dict[str, Any]:
        """The counts for the run's summary.

        Args:
            steps: The highest step that each source has reported.
        """
        counts = self.counts()
        by_source = self.sources(steps)
        rejected = counts["rejected"].total()
        totals = {name: counts["totals"][name] for name in _TOTALS}
        named = {f"{COUNTS}{name}": count for name, count in (totals | {"rejected": rejected}).items()}
        return named | ({f"{COUNTS}sources": by_source} if by_source else {})


class Strictness:
    """Raises at a flush for what was lost since the last one.

    Thread-safety: safe from any thread; two flushes at once may both raise.
    """

    def __init__(self) -> None:
        self._known = 0
        self._unusable = 0

    def check(self, stats: Stats) -> None:
        """Look at the counts.

        Raises:
            SamplesLost: more was rejected, shed or dropped than at the last look, or a step that cannot be
                used was said since.
        """
        unusable, self._unusable = stats.unusable_steps - self._unusable, stats.unusable_steps
        lost = stats.rejected + stats.shed + stats.dropped
        new, self._known = lost - self._known, max(lost, self._known)
        if new <= 0:
            if unusable > 0:
                calls = count_of(unusable, "call")
                raise SamplesLost(
                    f"{calls} of training_step or set_step had a step that cannot be used, since the last "
                    "flush; the log of otel_wandb_bridge says which. strict=False counts them and goes on",
                    stats,
                )
            return
        parts = [
            f"{count:,} {name}" for name in ("rejected", "shed", "dropped") if (count := getattr(stats, name))
        ]
        reasons = f" ({_named(Counter(stats.rejected_reasons))})" if stats.rejected_reasons else ""
        words = count_of(new, "sample is", "samples are")
        raise SamplesLost(
            f"{words} lost since the last flush; in all, {', '.join(parts)}{reasons}. The log of "
            "otel_wandb_bridge says what each was; strict=False counts them and goes on",
            stats,
        )


def _counts_of(ledger: Ledger) -> dict[str, Counter[str]]:
    return {
        "totals": Counter({name: getattr(ledger, name) for name in _TOTALS}),
        "rejected": Counter(ledger.rejected),
        "late": Counter(ledger.late_by),
        "overridden": Counter(ledger.overridden_by),
        **{cause.value: Counter(counts) for cause, counts in ledger.late_for.items()},
    }


def _many(counts: Counter[str]) -> str:
    return f"{counts.total():,}"


def _named(counts: Counter[str]) -> str:
    """Names with their counts, the most first."""
    named = [(name, count) for name, count in counts.most_common() if name]
    texts = [f"{name} {count:,}" for name, count in named[:_MOST_NAMES]]
    return ", ".join([*texts, "…"] if len(named) > _MOST_NAMES else texts) or "all"
