"""To be called when the program ends by itself, before W&B's own exit handler runs.

An implicit exit (the script ends, an exception, `sys.exit`) finishes no run: W&B tears its service down in
an `atexit` handler that it registered in `wandb.init`, and handlers run in reverse order. A handler of ours
that was registered earlier would be too late. So a thread waits for the main thread to end, and registers
its handler then: `atexit` runs after all non-daemon threads have ended, the latest handler first.
"""

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

_logger = logging.getLogger("otel_wandb_bridge")
_lock = threading.Lock()
_callbacks: "list[weakref.WeakMethod[Callable[[], None]]]" = []
_watcher: threading.Thread | None = None


def before_exit(method: Callable[[], None]) -> None:
    """Have a bound method called when the program ends; it is held weakly, and may be called twice.

    Registered twice over: now, for what other exit handlers record, and at the end of the main thread, to
    come before handlers that do not exist yet.
    """
    with _lock:
        _callbacks[:] = [callback for callback in _callbacks if callback() is not None]
        _callbacks.append(weakref.WeakMethod(method))
        _start_watcher()
    before_handlers_of_now()


def before_handlers_of_now() -> None:
    """Have the methods called right before the exit handlers that exist by now, too."""
    atexit.register(_call_all)


def _start_watcher() -> None:
    global _watcher
    if _watcher is not None:
        return
    # Not a daemon: the interpreter waits for it, and it waits for the main thread alone.
    _watcher = threading.Thread(target=_wait_and_register, name="otel-wandb-exit", daemon=False)
    _watcher.start()


def _wait_and_register() -> None:
    threading.main_thread().join()
    atexit.register(_call_all)


def _call_all() -> None:
    for callback in tuple(_callbacks):
        method = callback()
        if method is None:
            continue
        try:
            method()
        except Exception:
            _logger.exception("could not flush at exit")


def _after_fork() -> None:
    global _lock, _watcher
    _lock = threading.Lock()
    _watcher = None


def _register_fork_hook() -> Any:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)


_register_fork_hook()
