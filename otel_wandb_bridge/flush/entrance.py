"""What an entrance that other processes send through promises to the exporter, and asks of it."""

from collections.abc import Sequence
from typing import Any, Protocol

from ..records import Row


class Entrance(Protocol):
    """Hands samples in that were not recorded here."""

    @property
    def pending(self) -> int:
        """How many samples were counted as recorded, and are still held back."""

    def drain(self) -> None:
        """Hand in everything that is held back, and wait for it."""

    def forget(self) -> None:
        """In a forked child: what is held back is the parent's to write."""


class Memory(Protocol):
    """Outlives the process: knows after a restart which rows the run has."""

    @property
    def starting_step(self) -> int:
        """The first `_step` that the run does not have, as far as is known here."""

    @property
    def committed(self) -> int | None:
        """The highest step of a row that was not late; None: not known here."""

    def total(self, key: str) -> Any:
        """What a running total has come to in the rows that the run has; None: not known here."""

    def note(self, rows: Sequence[tuple[Row, int | None]], since: int | None = None) -> None:
        """Rows are about to be written, each with its `_step` (None: W&B numbers it).

        Those that were noted with a `_step` from `since` on were not written: they have got other numbers.

        What this raises, the writing raises.
        """
