"""Which samples may go into rows, and whose they are."""

import logging
from collections.abc import Callable, Iterable, Iterator

from ..ledger import Ledger
from ..records import Bundle, Kind, Sample
from ..sources import Process, Source
from ..write import RunTarget


class Admission:
    """Lets samples in, and counts those for which there is no place.

    Args:
        step_metric: The key of the step axis.
        target: Where the rows go.
        ledger: Where what is not let in is counted.
        tick: Called for each sample.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, step_metric: str, target: RunTarget, ledger: Ledger, tick: Callable[[], None]) -> None:
        self._step_metric = step_metric
        self._target = target
        self._tick = tick
        self._sources: dict[str, Source] = {}
        self.ledger = ledger
        self.process: Process | None = None
        """This process, where it is one of several: what it reports is a share, as theirs is."""
        self.is_exiting = False
        """The program ends: what is read off an observable from now on has no reader any more."""
        self.is_superseded = False
        """Another exporter of the process writes a run: what comes after ours is over is not missed."""

    def admitted(self, samples: Iterable[Sample | Bundle]) -> Iterator[Sample | Bundle]:
        """Those that are let in, in their order."""
        if self.process is not None:
            samples = self._as_shares(samples, self.process)
        for sample in samples:
            self._tick()
            if type(sample) is Bundle:
                if self._target.is_over:
                    self._too_late(sample.source, len(sample.values))
                else:
                    yield sample  # `wandb.log` may log what it likes, the axis too
            elif sample.kind is Kind.PROGRESS:
                yield sample
            elif sample.key == self._step_metric and not _may_stand_on_the_axis(sample):
                self._about_the_axis(sample)
            elif sample.kind is Kind.READING and (self.is_exiting or self._target.writer() is None):
                # Not rejected, which is a loss: W&B and the SDK collect once more when all is over.
                self.ledger.leave_out()
            elif self._target.is_over:
                self._too_late(sample.source, 1)
            else:
                yield sample

    def _as_shares(self, samples: Iterable[Sample | Bundle], process: Process) -> Iterator[Sample | Bundle]:
        for sample in samples:
            if type(sample.source) is Source:
                yield sample
                continue
            source = self._sources.get(sample.source)
            if source is None:
                source = self._sources[sample.source] = process.source(sample.source)
            if type(sample) is Bundle:
                sample.source = source
                yield sample
            else:
                yield sample._replace(source=source)

    def _about_the_axis(self, sample: Sample) -> None:
        text = (
            f"this key is the step axis, and source {sample.source!r} reports it; choose another step_metric"
        )
        self.ledger.reject("axis", repr(sample.key), text)

    def _too_late(self, source: str, samples: int) -> None:
        text = "it records after the run has finished; these samples have no run to go to"
        level = logging.INFO if self.is_superseded else logging.WARNING
        self.ledger.reject("finished", f"source {source!r}", text, count=samples, level=level)


def _may_stand_on_the_axis(sample: Sample) -> bool:
    """Whoever logs the axis with its own step says nothing new."""
    return sample.kind is Kind.VALUE and _is_step(sample.value, sample.step)


def _is_step(value: object, step: int | None) -> bool:
    return step is not None and isinstance(value, (int, float)) and value == step
