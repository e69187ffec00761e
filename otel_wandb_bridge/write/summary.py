"""The run's summary: the value of the highest step of each key, whatever was late.

W&B's summary shows what was logged last. After a late row, that is not what belongs there.
"""

import math
from collections.abc import Iterable
from typing import Any

from ..ledger import Ledger
from ..records import Row
from .run import Run

_KEPT = (float, int, str, bool, type(None))
_PLAIN = frozenset(_KEPT)
_ROWS = 100


class Summary:
    """Puts right what late rows do to a run's summary.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, run: Run, step_metric: str, ledger: Ledger) -> None:
        self._run = run
        self.step_metric = step_metric
        """The axis key."""
        self._ledger = ledger
        self._steps: dict[str, int] = {}
        self._values: dict[str, Any] = {}
        self._defined_by_user: dict[str, bool] = {}
        self._newest = -1
        self._rows: list[tuple[int, dict[str, Any]]] = []
        """What was committed last and is not in the above yet: only a late row asks for it."""
        self._to_restore: dict[str, Any] = {}

    def before(self, row: Row, values: dict[str, Any]) -> None:
        """Before a late row: note what stands at higher steps under its keys."""
        if not row.late or row.step is None:
            return
        self._fold()
        own = -1 if row.step > self._newest else row.step  # a leap is no step to go by
        for key in (*values, self.step_metric):
            if self._steps.get(key, -1) <= own:
                continue
            if key in row.totals:
                self._values[key] = row.totals[key]
            elif key in self._to_restore:
                continue
            self._note(key, self._values[key])

    def after(self, row: Row, values: dict[str, Any]) -> None:
        """After a row was committed: remember what stands at its step."""
        step = row.step
        if step is None or (row.late and step > self._newest):
            return
        is_plain = _PLAIN.issuperset(map(type, values.values()))
        if is_plain and step > self._newest and not self._to_restore:
            self._newest = step
            self._rows.append((step, values))
            if len(self._rows) >= _ROWS:
                self._fold()
            return
        self._fold()
        values = {**values, self.step_metric: step}
        if step <= self._newest:
            values = {key: value for key, value in values.items() if step >= self._steps.get(key, -1)}
        self._newest = max(self._newest, step)
        if not is_plain:
            # Media are not kept alive; what stands of them is in the run's summary.
            values = {key: value if isinstance(value, _KEPT) else _NOT_KEPT for key, value in values.items()}
        self._steps.update(dict.fromkeys(values, step))
        self._values.update(values)
        if self._to_restore:
            for key in values:
                self._to_restore.pop(key, None)

    def was_set(self, keys: Iterable[str]) -> None:
        """The program itself writes these keys: what stands there is in the run's summary from now on."""
        self._fold()
        for key in keys:
            self._to_restore.pop(key, None)
            self._steps.setdefault(key, self._newest)
            self._values[key] = _NOT_KEPT

    def settle(self) -> None:
        """Restore what late rows have overwritten."""
        if not self._to_restore:
            return
        restore, self._to_restore = self._to_restore, {}
        try:
            self._run.summary.update(restore)
        except Exception as error:
            self._ledger.say_once(
                "summary", "late rows", f"W&B refused to restore what stood before: {error!r}"
            )

    def number(self, key: str) -> float:
        """The number that stands under a key; 0 where none does.

        Of a key that is summed up otherwise than by its last value (`summary="max"`), the greatest stands.
        """
        current = self._current(key)
        if hasattr(current, "keys"):
            options = dict(current)
            current = options.get("last", options.get("max", 0))
        is_number = isinstance(current, (int, float)) and not isinstance(current, bool)
        return current if is_number and math.isfinite(current) else 0

    def put(self, values: dict[str, Any]) -> None:
        """Put values that are no row's into the summary. Never raises."""
        try:
            self._run.summary.update(values)
        except Exception as error:
            self._ledger.say_once("summary", "counts", f"W&B refused the bridge's counts: {error!r}")

    def _fold(self) -> None:
        rows, self._rows = self._rows, []
        steps: dict[str, int] = {}
        values: dict[str, Any] = {}
        for step, row in reversed(rows):
            if not steps:
                steps[self.step_metric], values[self.step_metric] = step, step
            if row.keys() <= steps.keys():  # a later row has the same keys, as a rule
                continue
            for key in row.keys() - steps.keys():
                steps[key], values[key] = step, row[key]
        self._steps.update(steps)
        self._values.update(values)

    def _note(self, key: str, value: Any) -> None:
        if value is _NOT_KEPT:
            # Media are in the summary as W&B described them when they were logged.
            current = self._current(key)
            if current is not None:
                self._to_restore[key] = current
        elif not self._is_defined_by_user(key):
            self._to_restore[key] = value

    def _is_defined_by_user(self, key: str) -> bool:
        """Whether a mapping stands over a plain value: `summary="max"`, say, which keeps itself right.

        Asked once for a key: each look at the summary fetches all of it.
        """
        known = self._defined_by_user.get(key)
        if known is None:
            current = self._current(key)  # absent: `summary="none"`
            known = self._defined_by_user[key] = current is None or hasattr(current, "keys")
        return known

    def _current(self, key: str) -> Any:
        try:
            return self._run.summary.get(key)
        except Exception:
            return None


_NOT_KEPT: Any = object()
