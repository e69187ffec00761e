"""Notices what W&B's service says in its own log alone: it cannot store rows, or uploads them no more.

Where the disk is full, wandb-core goes on without the file; where the server answers a chunk of rows with one
of a few statuses (400, 401, 404, 413, ...), it uploads nothing more for the rest of the run. Python is told
nothing of the first, and of the second only by a warning that is easily missed; either way the run ends as if
all were well. The path of the log is public (`Settings.log_internal`).
"""

import atexit
import json
import logging
import os
import shutil
import weakref
from typing import Any

from ..ledger import Ledger
from .run import Run, is_disabled

_MOST_BYTES = 1 << 20
_BLOCK = 4096
_GIVEN_UP = b"filestream: fatal error"
_NOT_SAVED = b"failed to save record"
_logs: "weakref.WeakKeyDictionary[Run, ServiceLog]" = weakref.WeakKeyDictionary()


class ServiceLog:
    """Reads what is new in the log at each flush: a look at its size, where nothing is.

    Thread-safety: none; the pipeline's lock guards it, but for the last look, after which nobody writes.
    """

    def __init__(self, run: Run, ledger: Ledger) -> None:
        self._ledger = ledger
        self._name = repr(getattr(run, "id", None) or run)
        settings = getattr(run, "settings", None)
        self._path: str | None = None if is_disabled(run) else getattr(settings, "log_internal", None)
        self._directory = getattr(settings, "sync_dir", "")
        self._read = 0
        self._is_full = False
        _logs[run] = self

    def look(self) -> None:
        """Count the errors since the last look, and say the first of each kind. Never raises."""
        if self._path is None:
            return
        self._look_at_disk()
        try:
            if os.stat(self._path).st_size <= self._read:
                return
            with open(self._path, "rb") as log:
                log.seek(self._read)
                new = log.read(_MOST_BYTES)
        except OSError:  # not there yet
            return
        end = new.rfind(b"\n") + 1 or len(new) * (len(new) == _MOST_BYTES)
        self._read += end
        for line in new[:end].splitlines():
            if _GIVEN_UP in line:
                self._say(
                    "upload",
                    f"wandb has given up uploading: {_reason(line)}. The rows are in the local file, and "
                    "go on to be written there. When the run has finished, upload them: wandb sync "
                    f"{self._directory} (with --no-skip-online, should it skip online runs)",
                )
            elif _NOT_SAVED in line:
                self._say_of_file(_reason(line))

    def _look_at_disk(self) -> None:
        """Where the disk is full, there may be no room for the log to say so either."""
        if self._is_full:
            return
        try:
            self._is_full = shutil.disk_usage(self._directory).free < _BLOCK
        except OSError:  # not there yet
            return
        if self._is_full:
            self._say_of_file("no space left on device")

    def _say_of_file(self, reason: str) -> None:
        self._say(
            "file",
            f"wandb cannot write its local file: {reason}. What is logged is not stored there; offline it is "
            f"lost. Make room on the disk of {self._directory}",
        )

    def _say(self, topic: str, text: str) -> None:
        self._ledger.service_errors += 1
        self._ledger.say_once(topic, f"run {self._name}", text, level=logging.ERROR)


def last_look(run: Run | None = None) -> None:
    """After a run has finished (None: all of them): its last rows go out no sooner."""
    for each in [*_logs] if run is None else [run]:
        log = _logs.get(each)
        if log is not None:
            log.look()


def _reason(line: bytes) -> str:
    try:
        message: Any = json.loads(line)["msg"]
    except (ValueError, LookupError, TypeError):
        message = line.decode(errors="replace")
    text = str(message)
    for words in ("failed to upload: ", "failed to save record: "):
        text = text.rpartition(words)[2]
    return text[:200]


# Now: exit handlers run in reverse, and W&B's own, which uploads the rest, is registered in `wandb.init`.
atexit.register(last_look)
