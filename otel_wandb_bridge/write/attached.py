"""The writer process: attaches to its parent's run, and writes the rows that it is sent.

Started by `WriterProcess`. It says nothing on its own, ignores the terminal's Ctrl-C, and ends with its
parent.
"""

import marshal
import os
import pickle
import signal
import struct
import sys
from typing import Any, BinaryIO

from .trip import TRIP, in_one_trip

LENGTH = struct.Struct("<I")
ANSWER = struct.Struct("<q")
"""How many rows were taken; below 0: that many bytes of text follow, which say what went wrong."""


def main() -> None:
    """Read rows from standard input until it ends; answer on standard output."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever anybody prints here is no answer
    try:
        _serve(sys.stdin.buffer, answers)
    except BaseException as error:
        text = repr(error).encode(errors="replace")[:1000]
        answers.write(ANSWER.pack(-len(text)) + text)
    # Not through the exit handlers: W&B's would end the run, which is the parent's.
    os._exit(0)


def _serve(calls: BinaryIO, answers: Any) -> None:
    # What W&B pickles of a run is how another process attaches to it; it comes from our own parent.
    run = pickle.loads(_received(calls))
    _settle(run)
    answers.write(ANSWER.pack(0))
    while message := _received(calls):
        rows = marshal.loads(message)
        for first in range(0, len(rows), TRIP):
            with in_one_trip(run):
                for values, step in rows[first : first + TRIP]:
                    run.log(values, step=step, commit=True)
        _settle(run)
        answers.write(ANSWER.pack(len(rows)))


def _settle(run: Any) -> None:
    """Ask W&B for something: when it answers, it has taken all that was sent before."""
    run.step  # noqa: B018


def _received(calls: BinaryIO) -> bytes:
    header = calls.read(LENGTH.size)
    if len(header) < LENGTH.size:
        return b""
    return calls.read(LENGTH.unpack(header)[0])
