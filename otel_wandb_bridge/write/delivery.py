"""Prepared rows to one W&B run, in their order: several in one trip, one by one, or by a writer process."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import Any

from ..ledger import Ledger
from ..records import Row
from .announced import Announced, BeforeCommit
from .outbox import Outbox, Prepared
from .refused_values import is_about_a_value, refused_of
from .run import Run, is_disabled, is_of_another_process, is_shared, next_step, settled_step
from .traffic import traffic_of
from .trip import TRIP, TRIP_SAMPLES, Trip, interface_of


class Delivery:
    """Gives each row its `_step`, and has it written with `run.log(values, step=…, commit=True)`.

    The calls are made in the thread that flushes or, where there is a writer process, in that; what cannot
    cross to it (media) is written here, in its turn.

    The `_step` of a row is its training step, or the next free number where a late row or another writer
    has used that one up. (W&B drops a row whose `step=` is below the current one: W&B documentation,
    "Customize log axes".)

    Args:
        run: Held for good.
        ledger: Where calls, rows and foreign steps are counted.
        on_done: Told of each row that is written, and of the values in it.
        on_refused: Told of a row and of its keys whose values W&B cannot take, each with what W&B says. The
            rest of the row is written.

    Raises:
        wandb.errors.UsageError: the run is finished.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(
        self,
        run: Run,
        ledger: Ledger,
        on_done: Callable[[Row, dict[str, Any]], None],
        on_refused: Callable[[Row, Mapping[str, Exception]], object],
    ) -> None:
        self._run = run
        self._ledger = ledger
        self._on_done = on_done
        self._on_refused = on_refused
        # In a forked child, too: W&B warns of steps from there, and its next one is as good.
        self._numbers_rows_itself = is_shared(run) or is_of_another_process(run)
        self._asks_for_steps = not self._numbers_rows_itself and not is_disabled(run)
        self.before_commit: BeforeCommit | None = None
        """As of `RunWriter`."""
        self._announced = Announced()
        self._wrote_here = False
        self._failures = 0
        self.outbox = Outbox(run, ledger)
        self._traffic = traffic_of(run)
        self._seen_calls = self._traffic.foreign_calls
        try:
            if not self._traffic.join(run):
                ledger.say_once(
                    "join",
                    "this process",
                    "it was forked, and W&B does not say that it has read what its parent has sent; it may "
                    "drop rows of the parent that it reads after those of this process",
                )
            self._next = self._free_step() if self._asks_for_steps else 0
        except BaseException:
            self.close()
            raise
        self.starting_step = self._next
        """The first step that the run takes: above 0 where it was resumed, forked or rewound."""
        known = max(getattr(run, "starting_step", 0) or 0, self._traffic.ours_until)
        used = self._next - bool(self._traffic.may_be_open)  # by whom a row is open, nobody knows
        self.foreign_from = known if self._asks_for_steps and used > known else None
        """The first step that others have used up in this process before; None: there was none."""
        ledger.foreign_steps += 0 if self.foreign_from is None else used - known

    def continue_at(self, step: int) -> None:
        """Begin at this `_step` where the run would begin lower: it has the rows below from elsewhere."""
        self._next = max(self._next, step)
        self.starting_step = max(self.starting_step, step)

    def begin(self) -> None:
        """Before a flush: learn which steps others have used up, so that W&B drops none of ours.

        Raises:
            Exception: what W&B raises when it does not answer.
        """
        if not self._asks_for_steps:
            return
        with self._traffic.ours():
            self._seen_calls = self._traffic.foreign_calls
            current = self._free_step()
        if current > self._next:
            self._ledger.foreign_steps += current - self._next
            level = logging.INFO if self._traffic.is_joined else logging.WARNING
            self._ledger.say_once(
                "foreign",
                "this run",
                "something else writes to it (wandb.log beside the bridge?). Its values do not join the rows "
                "of their steps, and W&B drops those whose step is below the bridge's; use "
                "Bridge.log(values, step=…) instead",
                level=level,
            )
            self._next = current

    def has_room(self) -> bool:
        """Whether rows may be taken before the next `flush`: a batch is not full.

        While W&B fails, what waits is better off where it can still be merged.
        """
        return not self.outbox.rows or not (self.outbox.is_full or self._failures)

    def flush(self, goes_on: Callable[[], bool] = lambda: True) -> bool:
        """Write the rows that were taken and are not written yet, in their order.

        Args:
            goes_on: Asked after each row, or batch that was sent. What is not written then is kept.

        Returns:
            Whether all of them are written.

        Raises:
            Exception: what `run.log` raises. What is not written is kept.
        """
        while self.outbox.rows:
            is_written = self.outbox.is_open() and self._write_elsewhere()
            if not is_written and not self._write_in_one_trip(goes_on):
                self._write_here(self.outbox.rows[0])
            if not goes_on():
                break
        return not self.outbox.rows

    def tell(self) -> None:
        """Tell `before_commit` of the rows that are not written yet, where it does not know them."""
        if self.before_commit is not None and len(self._announced) != len(self.outbox.rows):
            self._tell(self.before_commit)

    def start_process(self) -> None:
        """Have a process write the rows, as soon as it is ready. Does nothing the second time."""
        if self._asks_for_steps:  # else W&B numbers the rows, in whatever order two processes come
            self.outbox.start()

    def close(self) -> None:
        """The run is let go of: nobody needs to look out for others any more."""
        self._traffic.close()
        self.outbox.close()

    def after_fork(self) -> None:
        """In a forked child: all of it is the parent's."""
        self.outbox.after_fork()

    def _write_in_one_trip(self, goes_on: Callable[[], bool]) -> bool:
        """Write the first rows here, several at once. Returns whether any could be written so."""
        if self._failures or not self._asks_for_steps:
            return False
        interface = interface_of(self._run)
        sendable = [] if interface is None else self.outbox.sendable(TRIP, TRIP_SAMPLES)
        if len(sendable) < 2:
            return False
        with self._traffic.ours():
            if self._traffic.foreign_calls != self._seen_calls:
                self.begin()
            if self._traffic.is_joined:  # no steps are given then, and nobody could say which rows arrived
                return False
            steps = self._steps_of_first(len(sendable))
            trip = Trip(interface)
            try:
                with trip:
                    for values, step in zip(sendable, steps, strict=True):
                        try:
                            self._log(values, step, commit=True)
                        except Exception:  # once more where it is written by itself, and dealt with there
                            break
                        trip.end_row()
                        if self._traffic.foreign_calls != self._seen_calls or not goes_on():
                            break
            except Exception:
                self._failures += 1
                raise
            finally:
                self._have_arrived(steps[: trip.arrived])
        return bool(trip.arrived)

    def _write_elsewhere(self) -> bool:
        """Have the process write what can cross to it. Returns whether anything could be sent."""
        sendable = self.outbox.sendable()
        if not sendable:
            return False
        with self._traffic.ours():
            if self._traffic.foreign_calls != self._seen_calls:
                self.begin()
            if self._traffic.is_joined:  # no steps are given then
                self.outbox.close()
                return False
            if self._wrote_here:
                # The process has a connection of its own. The answer says that W&B has read what came by
                # ours: else it might read the process's rows first, and drop ours.
                next_step(self._run)
                self._wrote_here = False
            steps = self._steps_of_first(len(sendable))
            self._next = steps[-1] + 1
            self._traffic.wrote(self._next)
            self._traffic.may_be_open = False
            written = self.outbox.send(sendable, steps, lambda: next_step(self._run))
            for each in written:
                self._done(each)
            if len(written) < len(sendable):
                self._next = self._free_step()
                self._traffic.wrote(self._next)
        return True

    def _write_here(self, prepared: Prepared) -> None:
        row, values, stamp = prepared
        refused: dict[str, Exception] = {}
        with self._traffic.ours():
            if self._traffic.foreign_calls != self._seen_calls:
                self.begin()
            step = self._step_of(row)
            if self.before_commit is not None and not self._announced.begin_with((step,)):
                self._tell(self.before_commit)
            try:
                self._log({**values, **stamp}, step, commit=True)
            except Exception as error:
                self._failures += 1
                if not is_about_a_value(error) and self._failures < 3:
                    raise
                refused = refused_of(values, stamp, lambda part: self._log(part, step, commit=False))
                self._log(stamp, step, commit=True)  # the rest is in the row in the making already
        self._failures = 0
        self._wrote_here = True
        self._traffic.may_be_open = False
        if step is not None:
            self._next = step + 1
            self._traffic.wrote(self._next)
        self._done(self.outbox.done(), refused)
        if refused:
            self._on_refused(row, refused)

    def _have_arrived(self, steps: Sequence[int]) -> None:
        if not steps:
            return
        self._wrote_here = True
        if self._traffic.foreign_calls == self._seen_calls:  # else one may have left a row open after ours
            self._traffic.may_be_open = False
        self._next = steps[-1] + 1
        self._traffic.wrote(self._next)
        for _ in steps:
            self._done(self.outbox.done())

    def _steps_of_first(self, count: int) -> list[int]:
        """The steps of the first rows, which `before_commit` has been told of then."""
        steps: list[int] = []
        following = self._next
        for prepared in islice(self.outbox.rows, count):
            steps.append(self._own_step(prepared.row, following))
            following = steps[-1] + 1
        if self.before_commit is not None and not self._announced.begin_with(steps):
            self._tell(self.before_commit)
        return steps

    def _done(self, prepared: Prepared, refused: Collection[str] = ()) -> None:
        row, values, _ = prepared
        if refused:
            values = {key: value for key, value in values.items() if key not in refused}
        self._announced.done()
        self._on_done(row, values)

    def _tell(self, before_commit: BeforeCommit) -> None:
        told: list[tuple[Row, int | None]] = []
        following = self._next
        for row in (prepared.row for prepared in self.outbox.rows):
            step = self._step_of(row, following)
            told.append((row, step))
            following = following if step is None else step + 1
        self._announced.tell(before_commit, told)

    def _free_step(self) -> int:
        current = settled_step(self._run)
        if self._traffic.may_be_open is None:
            self._traffic.may_be_open = current > (getattr(self._run, "starting_step", 0) or 0)
        return current + self._traffic.may_be_open

    def _log(self, values: dict[str, Any], step: int | None, *, commit: bool) -> None:
        self._ledger.log_calls += 1
        self._traffic.log_own(self._run.log, values, step, commit)

    def _step_of(self, row: Row, following: int | None = None) -> int | None:
        if self._numbers_rows_itself or self._traffic.is_joined:
            return None
        return self._own_step(row, self._next if following is None else following)

    @staticmethod
    def _own_step(row: Row, following: int) -> int:
        return following if row.late or row.step is None else max(row.step, following)
