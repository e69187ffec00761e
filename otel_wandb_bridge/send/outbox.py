"""What waits to be sent, and the thread that sends it."""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult

from ..ledger import Ledger
from ..plural import count_of
from .answer import LastAnswer
from .parcels import Parcel

_logger = logging.getLogger("otel_wandb_bridge")
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
_TRIES_BEFORE_DOUBT = 3


class Outbox:
    """Sends parcels in their order, each until it is acknowledged.

    Where the receiver cannot be reached they wait, up to a bound; past it the newest are shed, and counted. A
    parcel that fails again and again while the next one is taken is given up, and counted as rejected.
    One that is refused for good is given up at once. Where everything is (a wrong token), parcels wait,
    too, for the receiver may be started again with the right one; but nobody waits for them.

    Args:
        exporter: Sends one parcel. It may retry for a while by itself.
        ledger: Where samples are counted.
        bound: How many samples wait at most.
        answer: What the receiver answered last.
        pause: Waits so many seconds, or less where the event is set before.

    Thread-safety: safe from any thread. The sending thread is a daemon, and is started on first need.
    """

    def __init__(
        self,
        exporter: MetricExporter,
        ledger: Ledger,
        bound: int,
        answer: LastAnswer,
        pause: Callable[[threading.Event, float], object] = threading.Event.wait,
    ) -> None:
        self._exporter = exporter
        self._bound = bound
        self._answer = answer
        self._pause = pause
        self.clear(ledger)

    def clear(self, ledger: Ledger) -> None:
        """In a forked child: what waits is the parent's to send, and to count."""
        self._ledger = ledger
        self._parcels: deque[Parcel] = deque()
        self._waiting = 0
        self._failures = 0
        self._tries = 0
        self._changed = threading.Condition()
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_stopped = False

    @property
    def waiting(self) -> int:
        """How many samples wait to be acknowledged."""
        return self._waiting

    def put(self, parcel: Parcel) -> None:
        """Take a parcel in. Never raises, and never waits for the network."""
        with self._changed:
            if self._is_stopped or (self._waiting and self._waiting + parcel.samples > self._bound):
                self._ledger.shed += parcel.samples
                self._ledger.say_once(
                    "shed",
                    "the receiver",
                    f"more than max_pending={self._bound} samples wait to be sent; the newest are lost",
                )
                return
            self._parcels.append(parcel)
            self._waiting += parcel.samples
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="otel-wandb-send", daemon=True)
                with contextlib.suppress(RuntimeError):  # at the exit of the interpreter (Python 3.12 on)
                    thread.start()
                    self._thread = thread
            self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait until everything is acknowledged, for `timeout` seconds at most. False: something is left.

        What the receiver refuses for good is tried once more, and not waited for.
        """
        deadline = time.monotonic() + timeout
        if self._thread is None:
            return self._send_here(deadline)
        with self._changed:
            tries = self._tries
            self._hurry.set()
            while self._parcels:
                left = deadline - time.monotonic()
                if left <= 0 or (self._tries > tries and self._answer.refusal is not None):
                    return False
                self._changed.wait(left)
        return True

    def stop(self, timeout: float) -> None:
        """Send what waits, for `timeout` seconds at most; what is left is shed, counted and said."""
        self.flush(timeout)
        with self._changed:
            if self._is_stopped:
                return
            self._is_stopped = True
            left, self._waiting = self._waiting, 0
            self._parcels.clear()
            self._ledger.shed += left
            if left:
                refusal = self._answer.refusal
                why = "in time" if refusal is None else f"(it answers {refusal})"
                self._ledger.say_once(
                    "shed",
                    "the end",
                    f"not acknowledged by the receiver {why}, and lost: {count_of(left, 'sample')}",
                )
            self._changed.notify_all()
        self._hurry.set()

    def _send_here(self, deadline: float) -> bool:
        """Send what waits in this thread, for there is none that does; each parcel once."""
        while self._parcels and time.monotonic() < deadline:
            parcel = self._parcels[0]
            if not self._send(parcel):
                break
            self._acknowledge(parcel)
        return not self._parcels

    def _run(self) -> None:
        while (parcel := self._next()) is not None:
            self._hurry.clear()
            if self._send(parcel):
                self._acknowledge(parcel)
                continue
            if self._answer.is_of_the_request:
                self._give_up(parcel, f"it answers {self._answer.refusal}; the samples are given up")
                continue
            self._failures += 1
            in_doubt = self._failures >= _TRIES_BEFORE_DOUBT and not self._answer.is_for_now
            if in_doubt and self._is_at_fault(parcel):
                continue
            self._say_that_it_fails()
            with self._changed:
                self._tries += 1
                self._changed.notify_all()
            self._pause(self._hurry, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (self._failures - 1)))

    def _say_that_it_fails(self) -> None:
        refusal = self._answer.refusal
        if refusal is None:
            what, text = "unreachable", "it does not take what is sent"
        else:
            what, text = "refused", f"it answers {refusal}"
        text += "; training goes on, the samples wait and are sent again"
        self._ledger.say_once("receiver", what, text)

    def _next(self) -> Parcel | None:
        changed = self._changed  # another one after `clear`
        with changed:
            while not self._parcels and not self._is_stopped:
                changed.wait()
            return None if self._is_stopped else self._parcels[0]

    def _send(self, parcel: Parcel) -> bool:
        try:
            return self._exporter.export(parcel.data) is MetricExportResult.SUCCESS
        except Exception:
            _logger.exception("could not send what was recorded; it is tried again")
            return False

    def _acknowledge(self, parcel: Parcel) -> None:
        with self._changed:
            self._failures = 0
            self._answer.forget()
            if self._take_out(parcel):
                self._ledger.sent += parcel.samples

    def _is_at_fault(self, parcel: Parcel) -> bool:
        """Whether the next parcel is taken where this one is not, before and after it: it is given up."""
        with self._changed:
            following = self._parcels[1] if len(self._parcels) > 1 else None
        if following is None or not self._send(following):
            return False
        self._acknowledge(following)
        if self._send(parcel):
            self._acknowledge(parcel)
        else:
            text = "it refuses a request again and again while it takes others; its samples are given up"
            self._give_up(parcel, text)
        return True

    def _give_up(self, parcel: Parcel, text: str) -> None:
        with self._changed:
            if self._take_out(parcel):
                self._ledger.reject("refused", "the receiver", text, count=parcel.samples)

    def _take_out(self, parcel: Parcel) -> bool:
        """False: it was given up, and counted, while it was on its way."""
        for index, each in enumerate(self._parcels):
            if each is parcel:
                del self._parcels[index]
                self._waiting -= parcel.samples
                self._changed.notify_all()
                return True
        return False
