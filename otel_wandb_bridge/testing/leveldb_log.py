"""The container of a ``.wandb`` file: LevelDB's log framing, bytes to whole records.

The file is cut into blocks of 32 KiB. A block holds chunks: four bytes CRC, two bytes length, one byte type,
then the body; a record longer than what is left of a block is spread over a first, any number of middle and
a last chunk. Unlike LevelDB, W&B stores the plain CRC-32 of type byte and body, not a masked CRC-32C, and
its own header of seven bytes takes the beginning of the first block.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

HEADER = b":W&B" + struct.pack("<HB", 0xBEE1, 0)

_BLOCK = 32 * 1024
_CHUNK = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def read_log(stream: BinaryIO) -> Iterator[bytes]:
    """Yield every whole record of ``stream``, which stands at the first byte of the file.

    The header is skipped, not checked. A record counts only if the checksum of each of its chunks is right
    and its chunks follow each other. A chunk with a wrong checksum costs its own record and no other, as
    long as its length is sound; if the length or the type is nonsense, the rest of its block is lost and
    reading goes on at the next one. The end of the file, wherever it comes, ends the records.

    Not thread-safe: one reader owns the stream.
    """
    record: bytearray | None = None
    for chunk in _chunks(stream):
        if chunk is None:
            record = None
            continue
        kind, body = chunk
        if kind == _FULL:
            record = None
            yield body
        elif kind == _FIRST:
            record = bytearray(body)
        elif record is not None:
            record += body
            if kind == _LAST:
                yield bytes(record)
                record = None


def _chunks(stream: BinaryIO) -> Iterator[tuple[int, bytes] | None]:
    """Yield type and body of every chunk, and None wherever something could not be read."""
    start = len(HEADER)
    while block := stream.read(_BLOCK):
        yield from _chunks_of(block, start)
        start = 0


def _chunks_of(block: bytes, at: int) -> Iterator[tuple[int, bytes] | None]:
    # Fewer bytes than a chunk's head are the padding at the end of a block.
    while at + _CHUNK.size <= len(block):
        crc, length, kind = _CHUNK.unpack_from(block, at)
        begin = at + _CHUNK.size
        at = begin + length
        if not _FULL <= kind <= _LAST or at > len(block):
            yield None
            return
        # The length is outside the checksum. Stepping over a chunk on the word of a length that may itself be
        # wrong is safe: whatever is found there has to pass its own checksum before it is believed.
        body = block[begin:at]
        yield (kind, body) if zlib.crc32(body, zlib.crc32(bytes((kind,)))) == crc else None
