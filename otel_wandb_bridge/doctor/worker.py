"""A worker: where it sends to, whether that answers, and what became of what it recorded."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from ..plural import count_of
from ..send import Sender
from .counts import about_losses
from .finding import FINE, NOTE, TROUBLE, Finding

_PORTS = {"http": 80, "https": 443}
_SECONDS = 5.0
_MEND_OF_SHED = "see to it that the receiver answers while the program runs, or raise max_pending"


def look_at_worker(sender: Sender, *, is_over: bool = False) -> Iterator[Finding]:
    """One sender of this process.

    Args:
        sender: What sends.
        is_over: Nothing more comes: what waits is sent now, and what is not acknowledged is lost.
    """
    failure = _failure_at(sender.endpoint)
    if is_over and failure is None and not sender.is_shut_down:
        sender.flush_everything(_SECONDS * 1e3)
    text = f"it sends to {sender.endpoint}, which owns the run"
    if failure is not None:
        mend = "start the receiver (otel-wandb serve, or OtlpReceiver), or correct OTEL_WANDB_ENDPOINT"
        yield Finding("worker", TROUBLE, f"{text}, and nobody answers there: {failure}", mend)
    elif sender.refusal is not None:
        yield Finding("worker", TROUBLE, f"{text}, and is refused there", sender.refusal)
    else:
        yield Finding("worker", FINE, f"{text}, and answers")
    stats = sender.stats()
    sent = f"{stats.sent:,} acknowledged by the receiver"
    told = f"{stats.recorded:,} recorded, {sent}, {stats.pending:,} waiting"
    yield Finding("samples", FINE if stats.recorded else NOTE, told)
    yield from about_losses(stats, _MEND_OF_SHED)
    if is_over and stats.pending:
        text = f"{count_of(stats.pending, 'sample')} not acknowledged by the receiver"
        yield Finding("left", TROUBLE, text, "see what is said of the worker, and the log")


def _failure_at(endpoint: str) -> str | None:
    parts = urlsplit(endpoint)
    address = (parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 80))
    try:
        socket.create_connection(address, timeout=_SECONDS).close()
    except OSError as error:
        return str(error)
    return None
