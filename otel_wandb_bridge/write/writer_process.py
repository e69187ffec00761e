"""A process that writes finished rows to the run, many at a time.

Each `run.log` waits for an answer from another thread, and then for the interpreter lock: beside a trainer of
pure Python, a thread writes some thirty rows a second. Here a batch of rows is sent down a pipe, and one
answer comes back.
"""

import contextlib
import marshal
import os
import pickle
import select
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import wandb

from ..records import PLAIN
from .attached import ANSWER, LENGTH
from .run import Run

_PATIENCE = 5.0
_START = "import sys; sys.path[:] = {path!r}; from otel_wandb_bridge.write.attached import main; main()"
_SWITCHES = ("WANDB_STEP_FIX_ENABLED",)


class WriterProcessError(Exception):
    """The process cannot be started, has ended, or was refused by W&B."""


class WriterProcess:
    """The parent's end.

    Args:
        run: A run of this process, which W&B lets others attach to.

    Raises:
        WriterProcessError: it cannot be attached to.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, run: Run) -> None:
        if os.name != "posix":
            raise WriterProcessError("it needs pipes that can be waited for, which this platform has not")
        try:
            ticket = pickle.dumps(run)
            # No start-up files: those of instrumentations, and our own, are not meant for it.
            command = [sys.executable, "-S", "-c", _START.format(path=sys.path)]
            environment = {name: value for name, value in os.environ.items() if name not in _SWITCHES}
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        except Exception as error:
            raise WriterProcessError(f"it cannot be started: {error!r}") from error
        self._is_ready = False
        self._end = weakref.finalize(self, _ended, self._process)
        self._send(ticket)

    def is_ready(self, *, wait: bool = False) -> bool:
        """Whether it is attached to the run.

        Args:
            wait: Until it is.

        Raises:
            WriterProcessError: it never will be.
        """
        if not self._is_ready and (wait or self._has_answered()):
            self._answer()
            self._is_ready = True
        return self._is_ready

    def write(self, rows: Sequence[tuple[dict[str, Any], int]]) -> None:
        """Write rows, each given with its step. Returns once W&B has taken all of them.

        Raises:
            WriterProcessError: it may have written some of them.
        """
        self._send(marshal.dumps([*rows]))
        if self._answer() != len(rows):
            raise WriterProcessError("it does not answer what it was asked")

    def close(self) -> None:
        """Let it end, which it does at once."""
        self._end()

    def after_fork(self) -> None:
        """In a forked child: it is the parent's."""
        self._end.detach()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.returncode = 0  # not ours to wait for

    def _send(self, message: bytes) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        try:
            pipe.write(LENGTH.pack(len(message)) + message)
            pipe.flush()
        except (OSError, ValueError) as error:
            raise WriterProcessError(f"it has ended: {error!r}") from error

    def _answer(self) -> int:
        count: int = ANSWER.unpack(self._read(ANSWER.size))[0]
        if count < 0:
            raise WriterProcessError(self._read(-count).decode(errors="replace"))
        return count

    def _read(self, size: int) -> bytes:
        pipe = self._process.stdout
        assert pipe is not None
        try:
            answer = pipe.read(size)
        except (OSError, ValueError) as error:
            raise WriterProcessError(f"it has ended: {error!r}") from error
        if len(answer) < size:
            raise WriterProcessError(f"it has ended with exit status {self._process.poll()}")
        return answer

    def _has_answered(self) -> bool:
        pipe = self._process.stdout
        return pipe is not None and bool(select.select([pipe], [], [], 0)[0])


def can_cross(values: Mapping[str, Any]) -> bool:
    """Whether values can be sent: plain ones, and containers of these. Media are bound to files here."""
    try:
        return PLAIN.issuperset(map(type, values.values())) or all(map(_is_plain, values.values()))
    except RecursionError:  # lists in lists: W&B can take it, or says that it cannot
        return False


def crossing(values: dict[str, Any]) -> dict[str, Any]:
    """The values, with histograms as W&B writes them."""
    if wandb.Histogram not in map(type, values.values()):
        return values
    return {
        key: value.to_json() if type(value) is wandb.Histogram else value for key, value in values.items()
    }


def _is_plain(value: Any) -> bool:
    if type(value) in PLAIN:
        return True
    if type(value) is dict:
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    return type(value) is list and all(map(_is_plain, value))


def _ended(process: "subprocess.Popen[bytes]") -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
