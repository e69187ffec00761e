"""Which step a call of `wandb.log` belongs to, and how its values go into the row.

| what is known | the step | its values |
|---|---|---|
| `step=`, at or above W&B's own count | that | join the row: the later value of a key stands, as in W&B |
| `step=`, below it, where W&B drops the call | that | go together: into the row of the step where they \
overwrite nothing there, else into a row of their own |
| an ambient step (`training_step`, `set_step`, `update_training_step`) | that | go together |
| a step key among the values (`train/global_step`, ...) | its value | go together |
| none of these | the one that is current | a row of their own |

`commit=False` without `step=` keeps the values for the next call without `step=`, as in W&B.
"""

import logging
from collections.abc import Iterable, Mapping
from types import CodeType
from typing import Any, NamedTuple

from opentelemetry.context import Context

from ..attributes import LARGEST_STEP, parse_step
from ..ledger import Ledger
from ..reconcile.nested import joined
from ..record.ambient import SOURCE_KEY, step_of_baggage
from ..record.clock import NO_STEP, ClockState
from ..record.log_calls import NO_KEY, priority_of
from ..record.packing import count_of_values, unpacked
from ..record.snapshot import Unusable
from ..records import Bundle, Kind, Manner, Sample

logger = logging.getLogger("wandb_step_fix")


class Waiting(NamedTuple):
    """What is known of a call. In the direct lane it is a bare tuple after its reader, as short as can be."""

    time: float
    values: dict[Any, Any]
    step: Any
    commit: bool | None
    code: CodeType | None
    """Of the function that makes it; None: it says itself who reports (`safe_wandb_log`)."""
    variables: dict[str, Any] | None
    """Those of its module."""
    thread: int
    context: Context | None = None
    clock: ClockState = NO_STEP
    source: str | None = None
    priority: Any = None

    @classmethod
    def of(cls, entry: tuple[Any, ...]) -> "Waiting":
        """The call of an entry of the direct lane, with its values as a dict.

        Raises:
            ValueError: they cannot be unpacked.
        """
        return cls(entry[1], unpacked(entry[2]), *entry[3:])

    @property
    def is_caught(self) -> bool:
        """Whether it is one of `wandb.log`."""
        return self.code is not None


class WandbCalls:
    """Reads the calls of `wandb.log` for one run, in their order: a `Reader` of the direct lane.

    A call whose source nobody has said is reported by the function that makes it, and each thread that is in
    that function counts for itself: components that are at different steps hold each other's rows open
    without a word in their code.

    Args:
        step_keys: Keys that say the training step, the first that is there counts.
        priorities: Default priority by source.
        max_step_jump: A step that is further away than this does not become the current one.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, step_keys: Iterable[str], priorities: Mapping[str, int], max_step_jump: int) -> None:
        self._step_keys = tuple(step_keys)
        self._max_step_jump = max_step_jump
        self._priorities = priorities
        self._partial: Bundle | None = None
        self._current: int | None = None
        self._count = 0
        self._threads: dict[str, list[int]] = {}
        self.calls = 0
        """How many calls were read."""

    def begin_at(self, step: int) -> None:
        """Say where W&B's own count of steps stands."""
        self._count = step

    def count_after(self, entries: Iterable[tuple[Any, ...]]) -> int:
        """Where W&B's own count of steps would stand after the calls that were read, and these entries."""
        count = self._count
        for entry in entries:
            if entry[0] is self:
                call = Waiting(*entry[1:])
                count = _counted(count, call.step, call.commit)
        return count

    @property
    def waiting(self) -> int:
        """How many values `commit=False` holds back."""
        return 0 if self._partial is None else len(self._partial.values)

    def samples(self, entry: tuple[Any, ...], ledger: Ledger) -> Iterable[Sample | Bundle]:
        """The values of a call, and of what it ends the wait of."""
        self.calls += 1
        recorded = ledger.recorded
        try:
            return self._read(Waiting.of(entry), ledger)
        except Exception as error:  # a step that is none, a hostile value: the call is given up as a whole
            call = Waiting(*entry[1:])
            count = count_of_values(call.values)
            ledger.recorded = recorded + count
            reason = "step" if isinstance(error, ValueError) else "values"
            text = str(error) if isinstance(error, ValueError) else f"a call cannot be read: {error!r}"
            ledger.reject(reason, f"wandb.log, source {call.source!r}", text, count=count)
            return ()

    def settle(self, ledger: Ledger) -> Iterable[Bundle]:
        """What `commit=False` held back: nothing will commit it any more."""
        return self._sealed(ledger)

    def clear(self) -> None:
        """Forget what is held back."""
        self._partial = None

    def _read(self, call: Waiting, ledger: Ledger) -> list[Bundle]:
        source, step, reason = self._source_and_step(call)
        # What `wandb.log` itself has taken has text keys, and values of which there is a copy.
        values = call.values if call.is_caught else self._usable(call.values, source, ledger)
        priority = priority_of(call.priority, call.context, source, self._priorities, ledger, "wandb.log")
        bundle = Bundle(source, step, values, priority, call.time)
        if call.step is not None and step is not None:
            sealed = self._sealed(ledger)
            # `safe_wandb_log` says a priority: that decides.
            bundle.manner = self._manner(step, call.commit) if call.is_caught else Manner.JOINS
            self._move(step)
            return sealed + self._out(bundle, reason, ledger)
        sealed = []
        if (
            self._partial is not None
            and None not in (step, self._partial.step)
            and step != self._partial.step
        ):
            sealed = self._sealed(ledger)
        partial, self._partial = self._partial, None
        if partial is not None:
            again = len(partial.values.keys() & values.keys())
            ledger.recorded += again
            ledger.overridden += again
            bundle.values = _merged(partial.values, values)
            bundle.step = partial.step if step is None else step
        if bundle.step is not None:
            self._move(bundle.step)
        if call.commit is False:
            self._partial = bundle
            logger.debug(
                "commit=False from %s: values that wait for the next call: %d", source, len(bundle.values)
            )
            return sealed
        self._count = _counted(self._count, None, call.commit)
        self._place(bundle)
        if not call.is_caught and bundle.manner is Manner.RIDES:
            bundle.manner = Manner.JOINS
        return sealed + self._out(bundle, reason, ledger)

    def _place(self, bundle: Bundle) -> None:
        bundle.manner = Manner.STANDS_ALONE if bundle.step is None else Manner.RIDES
        if bundle.step is None:
            bundle.step = self._current

    def _sealed(self, ledger: Ledger) -> list[Bundle]:
        partial, self._partial = self._partial, None
        if partial is None:
            return []
        if partial.step is None:
            partial.step = self._current  # the row in the making, as W&B sees it
        self._place(partial)
        return self._out(partial, "commit=False", ledger)

    def _out(self, bundle: Bundle, reason: str, ledger: Ledger) -> list[Bundle]:
        if logger.isEnabledFor(logging.DEBUG):
            keys, how = ", ".join(bundle.values), bundle.manner.value
            logger.debug("step %s (%s), %s: %s from %s", bundle.step, reason, how, keys, bundle.source)
        ledger.recorded += len(bundle.values)
        return [bundle] if bundle.values else []

    def _usable(self, values: dict[Any, Any], source: str, ledger: Ledger) -> dict[str, Any]:
        usable: dict[str, Any] = {}
        for key, value in values.items():
            if type(value) is Unusable:
                ledger.recorded += 1
                ledger.reject("value", f"wandb.log, key {key!r}", f"it cannot be copied: {value.why}")
            elif key is NO_KEY:
                ledger.recorded += 1
                ledger.reject("values", "safe_wandb_log", f"it takes a dict of values by key; got {value}")
            elif not isinstance(key, str) or not key:
                ledger.recorded += 1
                text = f"a key is a non-empty string; got {key!r}"
                ledger.reject("key", f"wandb.log, source {source!r}", text)
            else:
                usable[key] = value
        return usable

    def _source_and_step(self, call: Waiting) -> tuple[str, int | None, str]:
        said = call.source
        if said is None and call.context:
            said = call.context.get(SOURCE_KEY)  # type: ignore[assignment]  # text, as `training_step` put it
        if call.step is not None:
            given: int = call.step
            if type(given) is not int or abs(given) > LARGEST_STEP:
                given = parse_step(call.step)
            return said or self._function(call), given, "step="
        step = step_of_baggage(call.context)
        if step is not None:
            return said or self._function(call), step, "training_step"
        step = call.clock.step_of(said)
        if step is not None:
            # Who moved the clock reports for all that go by it.
            return said or call.clock.owner or self._function(call), step, "step clock"
        for key in self._step_keys:
            if key in call.values:
                try:
                    return said or self._function(call), parse_step(call.values[key]), key
                except ValueError:
                    logger.debug("%s=%r is no step", key, call.values[key])
        return said or self._function(call), None, "no step is known"

    def _function(self, call: Waiting) -> str:
        if call.code is None:
            return "default"
        name = getattr(call.code, "co_qualname", call.code.co_name)  # qualified from Python 3.11 on
        module = str((call.variables or {}).get("__name__", "?"))
        source = module if name == "<module>" else f"{module}.{name}"
        # Identifiers of threads are used again when these have ended, so the list stays short.
        threads = self._threads.setdefault(source, [])
        if call.thread not in threads:
            threads.append(call.thread)
        number = threads.index(call.thread)
        return f"{source}#{number + 1}" if number else source

    def _manner(self, step: int, commit: bool | None) -> Manner:
        """What W&B would drop must not overwrite what it would keep: its count of steps is kept here too."""
        if step < 0:
            return Manner.STANDS_ALONE
        before, self._count = self._count, _counted(self._count, step, commit)
        return Manner.RIDES if step < before else Manner.JOINS

    def _move(self, step: int) -> None:
        now = self._current
        if step < 0:
            return
        if now is None or now < step <= now + self._max_step_jump or step + self._max_step_jump < now:
            self._current = step


def _merged(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    merged = {**before, **after}
    for key in before.keys() & after.keys():
        if isinstance(before[key], dict) and isinstance(after[key], dict):
            merged[key] = joined(before[key], after[key])
    return merged


def _counted(count: int, step: Any, commit: bool | None) -> int:
    """W&B's own count of steps after a call: the step of the row that it has in the making."""
    if step is None:
        return count if commit is False else count + 1
    if type(step) is not int or step < count:  # W&B drops the call
        return count
    return step + 1 if commit else step


class Announcements:
    """Reads what `update_training_step` says: a source has come to a step. A `Reader` of the direct lane.

    Thread-safety: none; the pipeline's lock guards it.
    """

    waiting = 0

    def samples(self, entry: tuple[Any, ...], ledger: Ledger) -> Iterable[Sample | Bundle]:
        """The progress, which is no value and is not counted as one."""
        _, time, _no_values, source, step = entry
        return (Sample(source, step, "", None, 5, time, Kind.PROGRESS),)

    def settle(self, ledger: Ledger) -> Iterable[Sample | Bundle]:
        """Nothing is held back."""
        return ()

    def clear(self) -> None:
        """Nothing is held back."""
