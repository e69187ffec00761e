"""Rows to one W&B run: monotonic by construction."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..ledger import Ledger
from ..patterns import ByKey
from ..records import Row
from .announced import BeforeCommit
from .definitions import Definitions
from .delivery import Delivery
from .distribution import ALL_ALIKE, expand
from .outbox import Prepared
from .run import Run
from .run_config import RunConfig
from .service_log import ServiceLog
from .summary import Summary


class RunWriter:
    """Writes rows to one run.

    Each row gets its stamp here: the exact step under the axis key, on which every key is defined by name,
    and the time of its measurements. How it goes to W&B from there, with which `_step`, is for `Delivery`.

    Args:
        run: Held for good: at flush time `wandb.run` may be the next run.
        step_metric: The axis key.
        ledger: Where calls and foreign steps are counted.
        step_keys: Keys of frameworks that say the training step: where a framework has made one of them the
            axis of a key, the rows of that key carry it too.
        histograms: Which statistics of a histogram instrument are written, by key.

    Raises:
        wandb.errors.UsageError: the run is finished.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(
        self,
        run: Run,
        step_metric: str,
        ledger: Ledger,
        step_keys: Collection[str] = (),
        histograms: ByKey[tuple[str, ...]] = ALL_ALIKE,
    ) -> None:
        self.run = run
        self._histograms = histograms
        self._step_metric = step_metric
        self._ledger = ledger
        self._definitions = Definitions(run, step_metric, step_keys, ledger)
        try:
            self._delivery = Delivery(run, ledger, self._done, self._refuse)
        except BaseException:
            self._definitions.close()
            raise
        self._outbox = self._delivery.outbox
        self.foreign_from = self._delivery.foreign_from
        """The first step that others have used up in this process before; None: there was none."""
        self.config = RunConfig(run, ledger)
        self.on_refused: Callable[[Row, Mapping[str, Exception]], int] | None = None
        """Told of the keys of a row whose values W&B cannot take, each with what W&B says; says how many
        samples they are. The rest of the row is written."""
        self._summary = Summary(run, step_metric, ledger)
        self._service_log = ServiceLog(run, ledger)

    @property
    def starting_step(self) -> int:
        """The first step that the run takes: above 0 where it was resumed, forked or rewound."""
        return self._delivery.starting_step

    @property
    def before_commit(self) -> BeforeCommit | None:
        """Told of rows that are about to be written, many at once, each with its `_step` (None: W&B numbers
        it), and from which `_step` on it was told of rows that have others now (None: it was not); what it
        raises stops them."""
        return self._delivery.before_commit

    @before_commit.setter
    def before_commit(self, call: BeforeCommit | None) -> None:
        self._delivery.before_commit = call

    def continue_at(self, step: int) -> None:
        """Begin at this `_step` where the run would begin lower: it has the rows below from elsewhere."""
        self._delivery.continue_at(step)

    def begin(self) -> None:
        """Before a flush; see `Delivery.begin`.

        Raises:
            Exception: what W&B raises when it does not answer.
        """
        self._delivery.begin()

    def has_room_for(self, row: Row) -> bool:
        """Whether `take` may be called before the next `flush`.

        Before a late row, it must be known what the run's summary shows.
        """
        return not self._outbox.rows or (self._delivery.has_room() and not row.late)

    def take(self, row: Row) -> None:
        """Take a row, which the next `flush` writes.

        Raises:
            Exception: what W&B raises where a key cannot be defined. The row is to be offered again.
        """
        values, refused = expand(row.values, self._histograms)
        if row.step is not None:
            if self._step_metric in values and not _is(values[self._step_metric], row.step):
                self._step_metric = self._summary.step_metric = self._definitions.leave_axis()
            self._definitions.define(values)
        self._summary.before(row, values)
        stamp = self._stamp(row, values)
        if refused:
            row = replace(row, samples=row.samples - self._refuse(row, refused))
        self._outbox.take(Prepared(row, values, stamp))

    def total(self, key: str) -> float:
        """What a running total has come to in the rows that the run has already; 0 where it has none."""
        return self._summary.number(key)

    @property
    def unconfirmed(self) -> int:
        """Samples of rows that were taken and are not written yet."""
        return self._outbox.unconfirmed

    def start_process(self) -> None:
        """Have a process write the rows, as soon as it is ready. Does nothing the second time."""
        self._delivery.start_process()

    def flush(self, goes_on: Callable[[], bool] = lambda: True) -> bool:
        """Write the rows that were taken and are not written yet; see `Delivery.flush`.

        Raises:
            Exception: what `run.log` raises. What is not written is kept.
        """
        return self._delivery.flush(goes_on)

    def hold_at_most(self, samples: int) -> None:
        """Take no row where so many samples wait already; one row is taken whatever its size."""
        self._outbox.most_samples = min(self._outbox.most_samples, samples)

    def tell(self) -> None:
        """Tell `before_commit` of the rows that are not written yet, where it does not know them."""
        self._delivery.tell()

    def summary_was_set(self, keys: Iterable[str]) -> None:
        """The program writes these keys of the run's summary by itself."""
        self._summary.was_set(keys)

    def put_into_summary(self, values: dict[str, Any]) -> None:
        """Put values that are no row's into the run's summary. Never raises."""
        self._summary.put(values)

    def close(self) -> None:
        """The run is let go of: nobody needs to look out for others any more."""
        self._delivery.close()
        self._definitions.close()

    def after_fork(self) -> None:
        """In a forked child: all of it is the parent's."""
        self._delivery.after_fork()

    def end(self) -> None:
        """After a flush: the summary shows the highest step of each key, whatever was late."""
        if not self._outbox.rows:  # else what is late may be written yet
            self._summary.settle()
        self._service_log.look()

    def _done(self, row: Row, values: dict[str, Any]) -> None:
        self._summary.after(row, values)

    def _refuse(self, row: Row, refused: Mapping[str, Exception]) -> int:
        return 0 if self.on_refused is None else self.on_refused(row, refused)

    def _stamp(self, row: Row, values: dict[str, Any]) -> dict[str, Any]:
        """What goes into the row besides its values: its true step, and the time of its measurements."""
        stamp: dict[str, Any] = {}
        if row.step is not None:
            axes = (self._step_metric, *self._definitions.further_axes(values))
            stamp = dict.fromkeys(axes, row.step)
        if row.time > 0 and math.isfinite(row.time) and "_timestamp" not in values:
            stamp["_timestamp"] = row.time
        return stamp


def _is(value: Any, step: int) -> bool:
    try:
        return bool(value == step)
    except Exception:  # an array, say
        return False
