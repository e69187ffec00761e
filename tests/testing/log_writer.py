"""The container of a ``.wandb`` file, written from its description: records to bytes."""

import struct
import zlib

HEADER = b":W&B\xe1\xbe\x00"
BLOCK = 32768
HEAD = 7


def chunk(kind, body):
    return struct.pack("<IHB", zlib.crc32(bytes([kind]) + body), len(body), kind) + body


def write_log(records):
    """Return the bytes, and for each record the offset just behind it."""
    log = bytearray(HEADER)
    ends = []
    for record in records:
        first = True
        while True:
            room = BLOCK - len(log) % BLOCK
            if room < HEAD:
                log += bytes(room)
                continue
            part, record = record[: room - HEAD], record[room - HEAD :]
            kind = {(True, True): 1, (True, False): 2, (False, False): 3, (False, True): 4}[first, not record]
            log += chunk(kind, part)
            first = False
            if not record:
                break
        ends.append(len(log))
    return bytes(log), ends
