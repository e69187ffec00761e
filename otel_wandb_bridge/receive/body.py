"""From the body of an OTLP request to its message.

Rules: OTLP specification 1.x, "OTLP/HTTP Request": protobuf or JSON, possibly compressed by gzip.
"""

import zlib
from collections.abc import Callable

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from .otlp_json import request_of_json

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
RETRY_AFTER_SECONDS = 1

Accept = Callable[[ExportMetricsServiceRequest, bytes], ExportMetricsServiceResponse]
"""Takes a request and its protobuf bytes, and gives the response; raises `Refused`."""


class Refused(Exception):
    """A request that cannot be taken.

    Args:
        status: The HTTP status to answer with.
        reason: What came, what is expected and what to do.
        retry_after: In how many seconds it may come again; None: not at all.
    """

    def __init__(self, status: int, reason: str, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class Room:
    """How many bytes of bodies may be under way: they are in memory before they are accepted.

    Args:
        bound: So many.
        on_full: Called each time that a body finds no room.

    Thread-safety: none; for the thread of one event loop.
    """

    def __init__(self, bound: int, on_full: Callable[[], None]) -> None:
        self._bound = bound
        self._on_full = on_full
        self._taken = 0

    def take(self, size: int, own: int) -> bool:
        """Take room for more of a body that has `own` bytes. One that is alone is never refused."""
        if self._taken > own and self._taken + size > self._bound:
            self._on_full()
            return False
        self._taken += size
        return True

    def give_back(self, size: int) -> None:
        """A body is not under way any more."""
        self._taken -= size


class Body:
    """Takes the chunks of a body in, and never holds more than the limit, compressed or not.

    Args:
        encoding: The `Content-Encoding`: none, `identity` or `gzip`.
        limit: How many bytes the message may have at most, measured after decompression.
        room: What this body and all others may have together; `close` gives it back.

    Raises:
        Refused: 415 for another encoding.
    """

    def __init__(self, encoding: str, limit: int, room: Room | None = None) -> None:
        encoding = encoding.strip().lower()
        if encoding not in ("", "identity", "gzip"):
            raise Refused(415, f"Content-Encoding must be gzip, or absent; got {encoding[:40]!r}")
        self._limit = limit
        self._room = room
        self._chunks: list[bytes] = []
        self._size = 0
        self._is_empty = True
        self._inflater = zlib.decompressobj(wbits=31) if encoding == "gzip" else None

    def expect(self, length: str) -> None:
        """Be told the `Content-Length`, before anything is read.

        Raises:
            Refused: 413 past the limit.
        """
        # Compressed bytes may be more than the message: many empty members.
        if self._inflater is None and length.isdecimal() and int(length) > self._limit:
            raise self._too_large()

    def take(self, chunk: bytes) -> None:
        """Take a chunk in.

        Raises:
            Refused: 413 past the limit, 400 for bytes that are not gzip, 503 where too many are under way.
        """
        self._is_empty = self._is_empty and not chunk
        if self._inflater is None:
            self._keep(chunk)
            return
        while chunk:
            if self._inflater.eof:  # gzip members may follow each other (RFC 1952, section 2.2)
                self._inflater = zlib.decompressobj(wbits=31)
            try:
                self._keep(self._inflater.decompress(chunk, self._limit - self._size + 1))
            except zlib.error as error:
                raise Refused(400, f"the body is not gzip: {error}") from None
            chunk = self._inflater.unconsumed_tail or self._inflater.unused_data

    def whole(self) -> bytes:
        """The body.

        Raises:
            Refused: 400 where a compressed body is cut off.
        """
        if self._inflater is not None and not self._is_empty and not self._inflater.eof:
            raise Refused(400, "the gzip body is cut off")
        return b"".join(self._chunks)

    def close(self) -> None:
        """Give the room back: it is accepted, or refused."""
        if self._room is not None:
            self._room.give_back(self._size)

    def _keep(self, chunk: bytes) -> None:
        if self._size + len(chunk) > self._limit:
            raise self._too_large()
        if self._room is not None and not self._room.take(len(chunk), self._size):
            raise Refused(503, "too many requests are under way; come again later", RETRY_AFTER_SECONDS)
        self._size += len(chunk)
        if chunk:
            self._chunks.append(chunk)

    def _too_large(self) -> Refused:
        return Refused(
            413,
            f"the request has more than {self._limit} bytes (after decompression); send smaller batches, "
            "or raise max_body_bytes of the receiver",
        )


def parse(body: bytes, media_type: str) -> ExportMetricsServiceRequest:
    """The message in a body.

    Raises:
        Refused: 415 for another media type, 400 for a body that is none.
    """
    if media_type == PROTOBUF:
        return parse_protobuf(body)
    if media_type != JSON:
        raise Refused(415, f"Content-Type must be {PROTOBUF} or {JSON}; got {media_type[:80]!r}")
    try:
        return request_of_json(body)
    except ValueError as error:
        raise Refused(400, str(error)) from None


def parse_protobuf(body: bytes) -> ExportMetricsServiceRequest:
    """The message in protobuf bytes.

    Raises:
        Refused: 400 where it is none.
    """
    try:
        return ExportMetricsServiceRequest.FromString(body)
    except DecodeError as error:
        raise Refused(400, f"the body is no ExportMetricsServiceRequest: {error}") from None
