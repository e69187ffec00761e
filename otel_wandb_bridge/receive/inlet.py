"""From an accepted request to the pipeline: journal, decode, duplicates, order."""

import logging
import os
import sqlite3
import threading
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from ..decode.otlp import OtlpDecoder, Received
from ..exporter import WandbMetricExporter
from ..flush.pipeline import Pipeline
from ..journal.file import CLEAN
from ..plural import count_of
from ..records import Sample
from .body import RETRY_AFTER_SECONDS, Refused, parse_protobuf
from .duplicates import Seen
from .intake import Intake
from .journal import Journal, JournalFull
from .memory import recall
from .ordering import Ordering, Part
from .verdict import answer_to

_logger = logging.getLogger("otel_wandb_bridge")
_PATIENCE_MILLIS = 600_000
_FULL = "too much waits to be taken in; come again later"


@dataclass(slots=True)
class Counts:
    """What came in, since the start. Read without a lock: each is right by itself."""

    requests: int = 0
    """Accepted."""
    refused: int = 0
    """Told to come again later."""
    points: int = 0
    """Data points that came for the first time."""
    duplicates: int = 0
    """Data points that had come before."""
    rejected_points: int = 0
    """Data points that cannot be used, as the answers say."""


class Inlet:
    """Accepts requests from any thread, and hands their samples to an exporter in one.

    Args:
        exporter: Where to.
        max_waiting_bytes: How many bytes of requests wait at most.
        reorder: How long an export waits for an earlier one of its sender, in seconds.
        journal: Where requests are kept until their rows are safe; None: nowhere.
        clock: Seconds that never go back.

    Thread-safety: safe from any thread, but for `close`.
    """

    def __init__(
        self,
        exporter: WandbMetricExporter,
        *,
        max_waiting_bytes: int,
        reorder: float,
        journal: Journal | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts = Counts()
        self._counting = threading.Lock()
        self._exporter = exporter
        self._entrances = exporter.entrances
        self._journal = journal
        self._clock = clock
        self._ordering = Ordering(reorder)
        self._seen = Seen()
        self._decoder: OtlpDecoder | None = None
        self._is_closing = self._is_ready = False
        self._is_crowded = self._is_failing = False
        self._pid = os.getpid()
        self._memory = None if journal is None else recall(journal, exporter)
        exporter.entrances.add(self, self._memory)
        self._replay()
        self._intake = Intake(self._take, self._settle, max_waiting_bytes)
        self._is_ready = True

    @property
    def pending(self) -> int:
        """How many samples were decoded and are still held back."""
        return self._ordering.pending

    @property
    def waiting(self) -> int:
        """How many requests were accepted and are not decoded yet."""
        return self._intake.waiting

    @property
    def journal_bytes(self) -> int | None:
        """How many bytes of requests the journal holds; None: there is none."""
        return None if self._journal is None else self._journal.bytes

    def accept(self, request: ExportMetricsServiceRequest, body: bytes) -> ExportMetricsServiceResponse:
        """Take a request in; when this returns, it will be in the run.

        Raises:
            Refused: it is to come again later.
        """
        answer = answer_to(request)
        size = len(body)
        if self._is_closing or os.getpid() != self._pid:
            raise self._come_again("the receiver is being stopped")
        if self._entrances.is_over:
            raise self._come_again("the run has finished")
        if not self._intake.reserve(size):
            raise self._come_again(_FULL)
        number = 0
        try:
            if self._journal is not None:
                number = self._journal.append(body)
        except (JournalFull, sqlite3.Error, OSError) as error:
            self._intake.release(size)
            if isinstance(error, JournalFull):
                self._is_crowded = True
                self._intake.nudge()
                raise self._come_again("the journal is full; come again later") from None
            if not self._is_failing:
                self._is_failing = True
                _logger.error("journal: requests cannot be kept, and so are not accepted: %r", error)
            raise self._come_again(f"the journal cannot be written: {error}") from None
        self._is_failing = False
        with self._counting:
            self.counts.requests += 1
            self.counts.rejected_points += answer.partial_success.rejected_data_points
        self._intake.put((number, request), size)
        return answer

    def drain(self) -> None:
        """Hand on everything that was accepted by now, and wait for it."""
        if self._is_ready:  # a flush may come while the journal is read
            self._intake.drain()

    def forget(self) -> None:
        """In a forked child: it is the parent's."""
        if self._journal is not None:
            self._journal.abandon()

    def close(self) -> None:
        """Accept nothing more, hand on everything, and have it written."""
        self._is_closing = True
        with self._entrances.gathering():
            self._intake.stop()
        self._exporter.collect()
        is_written = self._exporter.force_flush(_PATIENCE_MILLIS) or self._entrances.is_over
        if self._journal is None:
            self._entrances.remove(self)
        elif is_written:
            # Else it is still needed: what waits is noted when it is written.
            self._entrances.remove(self)
            self._journal.write_down(CLEAN, True)
            self._journal.close()
        else:
            text = "journal %s: it keeps what could not be written; start again on it, with the same run"
            _logger.warning(text, self._journal.path)

    def note_refused(self) -> None:
        """A request is told to come again later."""
        with self._counting:
            self.counts.refused += 1

    def _come_again(self, why: str) -> Refused:
        self.note_refused()
        return Refused(503, why, RETRY_AFTER_SECONDS)

    def _take(self, item: tuple[int, ExportMetricsServiceRequest]) -> None:
        # What is acknowledged is not shed: as long as nothing can be written, it waits here, and then in the
        # journal, and then at the senders.
        while self._entrances.is_full and not self._is_closing:
            time.sleep(0.05)
        number, request = item
        self._entrances.receive(lambda pipeline: self._decoded(pipeline, number, request))

    def _settle(self, everything: bool) -> float | None:
        if self._is_crowded and self._memory is not None:
            self._is_crowded = False
            self._entrances.receive(self._room_made)
        now = self._clock()
        deadline = self._ordering.deadline()
        if deadline is not None and (everything or deadline <= now):
            self._entrances.receive(lambda pipeline: self._released(pipeline, everything=everything))
            deadline = self._ordering.deadline()
        return None if deadline is None else max(0.0, deadline - now)

    def _room_made(self, pipeline: Pipeline) -> list[Sample]:
        assert self._memory is not None
        self._memory.make_room()
        return []

    def _decoded(
        self,
        pipeline: Pipeline,
        number: int,
        request: ExportMetricsServiceRequest,
        *,
        is_replay: bool = False,
    ) -> list[Sample]:
        if self._decoder is None:
            self._decoder = OtlpDecoder(self._exporter.new_decoder, pipeline.ledger, self._is_new)
        parts = 0
        for index, received in enumerate(self._decoder.decode(request)):
            head, tail = self._parts(number, index, received, is_replay=is_replay, pipeline=pipeline)
            parts += bool(head.samples) + bool(tail.samples)
            self._ordering.add(received.resource, received.collected_at, head, tail, self._clock())
        if self._memory is not None:
            self._memory.taken(number, parts)
        pipeline.describe("metrics", self._exporter.descriptions.news())
        return self._released(pipeline)

    def _parts(
        self, number: int, index: int, received: Received, *, is_replay: bool, pipeline: Pipeline
    ) -> tuple[Part, Part]:
        samples = received.samples
        cut = bisect_right(samples, received.collected_at, key=_measured_at)
        parts = [Part((number, 2 * index), samples[:cut]), Part((number, 2 * index + 1), samples[cut:])]
        if is_replay and self._memory is not None:
            has = self._memory.has
            for place, part in enumerate(parts):
                left = [each for each in part.samples if not has(number, part.name[1], each.step)]
                pipeline.ledger.recorded -= len(part.samples) - len(
                    left
                )  # counted when they were first taken in
                parts[place] = part._replace(samples=left)
        return parts[0], parts[1]

    def _released(self, pipeline: Pipeline, *, everything: bool = False) -> list[Sample]:
        parts = self._ordering.due(self._clock(), everything=everything)
        if not parts:
            return []
        samples = [sample for part in parts for sample in part.samples]
        if self._memory is not None:
            newest = self._newest(pipeline.newest, samples)
            pipeline.through = self._memory.released([part.name for part in parts], newest)
        return samples

    def _newest(self, before: int | None, samples: list[Sample]) -> int | None:
        """The newest step once the samples are in, leaps left out."""
        steps = [sample.step for sample in samples if sample.step is not None]
        if before is None:
            return max(steps, default=None)
        limit = before + self._exporter.options.policy.max_step_jump
        return max((step for step in steps if before < step <= limit), default=before)

    def _is_new(self, resource: bytes, time: int, identity: bytes) -> bool:
        if self._seen.is_new(resource, time, identity):
            self.counts.points += 1
            return True
        self.counts.duplicates += 1
        return False

    def _replay(self) -> None:
        """Take in what the journal has of a process that was killed; what its rows hold is left out."""
        if self._journal is None:
            return
        count = 0
        for number, body in self._journal.requests():
            request = parse_protobuf(body)
            count += 1

            def decoded(pipeline: Pipeline, number: int = number, request: Any = request) -> list[Sample]:
                return self._decoded(pipeline, number, request, is_replay=True)

            self._entrances.receive(decoded)
        if count:
            _logger.info("journal %s: taken in again: %s", self._journal.path, count_of(count, "request"))


def _measured_at(sample: Sample) -> float:
    return sample.time
