"""Signals that end a program on the spot: what was recorded is written first.

By default SIGTERM and SIGHUP end a process without asking Python: no `finally`, no exit handler, and W&B's
service loses the rows that it still buffers. So where nobody handles them, we do: what was recorded is
written and the run finished, by a thread; then the program ends by the same signal, with the status that it
would have had. Where the program has a handler of its own, that one decides, and we only have what waits
written meanwhile.

A handler runs in the main thread, in the middle of whatever that was doing, locks in hand. While the main
thread is inside a library whose locks are needed, it is let go on, and knocked at again. And where it is
inside a long call that is not Python (a collective operation, say), no handler runs at all until that ends:
so a thread learns of the signal too, from `signal.set_wakeup_fd`, and does not wait for the main thread.
"""

import contextlib
import ctypes
import logging
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

_logger = logging.getLogger("otel_wandb_bridge")

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGINT") if hasattr(signal, name))
"""By these, schedulers, terminals and people end programs."""

_KNOCK_SECONDS = 0.005
_PATIENCE_SECONDS = 5.0
_ATTENDANCE_SECONDS = 1.0
_KNOCKS_UNANSWERED = 200
_REPEATED_SECONDS = 1.0
_LOCKING = ("opentelemetry.sdk", "opentelemetry.exporter", "wandb.sdk", "otel_wandb_bridge", "logging")
_NOT_LOCKING = ("otel_wandb_bridge.cli", "otel_wandb_bridge.runtime.signals")
_LOCKING_CALLS = ("start", "enumerate", "active_count")
"""Of `threading`: its waits hold nothing that is needed."""


class Endangered(Protocol):
    """Who holds what would be lost."""

    @property
    def hurry(self) -> Callable[[], None]:
        """Have what waits written soon. Called from a signal handler: neither waits nor raises."""

    def rescue(self, seconds: float) -> None:
        """Write what waits, and finish, within so many seconds. Called in a thread of its own."""


class _Death:
    """The signal that is going to end the program."""

    def __init__(self, signum: int) -> None:
        self.signum = signum
        self.since = time.monotonic()
        self.knocked = 0.0
        self.answered = self.since
        """When the main thread was last heard of."""
        self.is_begun = False
        self.is_attended = threading.Event()
        """The main thread waits in our handler, and will end the program."""
        self.is_written = threading.Event()

    def age(self) -> float:
        return time.monotonic() - self.since


_endangered: "list[tuple[weakref.ReferenceType[Any], float]]" = []
_previous: dict[int, Any] = {}
_dying: dict[int, _Death] = {}
"""By process: a dict, since `setdefault` is one step for handler and thread alike."""
_pipe: list[int] = []
_lock = threading.RLock()  # reentrant: the program may finish its run in a handler of its own


def protect(one: Endangered, seconds: float) -> None:
    """Have `one` rescued before a signal ends the program, in so many seconds at most. It is held weakly.

    Does nothing where `seconds` is 0, in a thread other than the main one (in which alone Python sets
    handlers), off POSIX, and for a signal that is ignored or that Python handles itself: a KeyboardInterrupt
    is an exception like any other.
    """
    if seconds <= 0 or os.name != "posix" or threading.current_thread() is not threading.main_thread():
        return
    with _lock:
        _endangered[:] = [each for each in _endangered if each[0]() is not None]
        _endangered.append((weakref.ref(one), seconds))
        try:
            _listen_in()
            for signum in SIGNALS:
                _install(signum)
        except (ValueError, OSError) as error:  # a subinterpreter; no descriptors left
            _logger.info("signals: what is recorded before one may be lost: %s", error)


def release(one: Endangered) -> None:
    """`one` holds nothing any more. From any thread; see `tidy`."""
    with _lock:
        _endangered[:] = [each for each in _endangered if each[0]() not in (None, one)]


def tidy() -> None:
    """Where nobody holds anything any more, have the handlers be what they were. In the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        return
    # Without the lock: an exception out of the blue might leave it to nobody, and `protect`, which must not
    # come between, is for this thread alone.
    if _previous and not any(weak() is not None for weak, _ in [*_endangered]):
        _put_back()


def _install(signum: int) -> None:
    present = signal.getsignal(signum)
    if present not in (_on_signal, None, signal.SIG_IGN, signal.default_int_handler):
        _previous[signum] = present
        signal.signal(signum, _on_signal)


def _put_back() -> None:
    for signum, previous in [*_previous.items()]:
        if signal.getsignal(signum) is _on_signal:
            signal.signal(signum, previous)
            del _previous[signum]
    _set_wakeup_fd(-1)


def _set_wakeup_fd(descriptor: int) -> None:
    before = signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
    if before not in (-1, *_pipe):  # an event loop's
        signal.set_wakeup_fd(before, warn_on_full_buffer=False)


def _on_signal(signum: int, frame: FrameType | None) -> None:
    previous = _previous.get(signum, signal.SIG_DFL)
    if callable(previous) or signal.getsignal(signum) is not _on_signal:
        for one, _ in _alive():
            one.hurry()
        if callable(previous):
            previous(signum, frame)
        # Else a handler that was set later has called ours as the one before: it decides what happens.
        return
    death = _death_by(signum)
    is_knock = time.monotonic() < death.knocked + _REPEATED_SECONDS
    if (death.age() > _REPEATED_SECONDS and not is_knock) or not _alive():
        _die(signum)
    with contextlib.suppress(OSError):  # where `set_wakeup_fd` is somebody else's
        os.write(_pipe[1], bytes([signum]))
    death.answered = time.monotonic()
    if death.age() < _PATIENCE_SECONDS and _may_hold_locks(frame):
        return
    death.is_attended.set()
    death.is_written.wait(max(0.0, _seconds() - death.age()))
    _die(signum)


def _may_hold_locks(frame: FrameType | None) -> bool:
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module.startswith(_LOCKING) and not module.startswith(_NOT_LOCKING):
            return True
        if module == "threading" and frame.f_code.co_name in _LOCKING_CALLS:
            return True
        frame = frame.f_back
    return False


def _listen_in() -> None:
    if not _pipe:
        _pipe[:] = os.pipe()
        os.set_blocking(_pipe[1], False)
        threading.Thread(target=_listen, args=_pipe[:1], name="otel-wandb-signals", daemon=True).start()
    _set_wakeup_fd(_pipe[1])


def _listen(reader: int) -> None:
    while numbers := os.read(reader, 64):
        for signum in numbers:
            is_ours = signal.getsignal(signum) is _on_signal and not callable(_previous.get(signum))
            if is_ours and _alive() and not (death := _death_by(signum)).is_begun:
                death.is_begun = True
                _attend(death)


def _attend(death: _Death) -> None:
    try:
        threading.Thread(target=_rescue, args=(death,), name="otel-wandb-rescue", daemon=True).start()
    except RuntimeError:  # at the exit of the interpreter (Python 3.12 on)
        _rescue(death)
        return
    main, seconds = threading.main_thread().ident, _seconds()
    written_for = 0.0
    while death.age() < seconds and written_for < _ATTENDANCE_SECONDS:
        if death.is_attended.wait(_KNOCK_SECONDS):
            return
        written_for += _KNOCK_SECONDS * death.is_written.is_set()
        if main is not None:
            death.knocked = time.monotonic()
            signal.pthread_kill(main, death.signum)
    _die_without_the_main_thread(death.signum)


def _rescue(death: _Death) -> None:
    # What the main thread still records is to be written too. While it does not answer, it records nothing:
    # counted in knocks, and not by the clock, since on a busy machine all of us come late.
    unanswered, knocked, answered = 0, death.knocked, death.answered
    while unanswered < _KNOCKS_UNANSWERED and death.age() < _seconds() / 2:
        if death.is_attended.wait(_KNOCK_SECONDS):
            break
        unanswered += death.knocked != knocked
        if death.answered != answered:
            unanswered = 0
        knocked, answered = death.knocked, death.answered
    for one, seconds in _alive():
        try:
            one.rescue(max(0.0, seconds - death.age()))
        except Exception:
            _logger.exception("could not write what was recorded before signal %d", death.signum)
    death.is_written.set()


def _die(signum: int) -> None:
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
    time.sleep(1.0)
    os._exit(128 + signum)  # somebody has blocked it


def _die_without_the_main_thread(signum: int) -> None:
    """In the main thread alone may Python set a handler; that one is in a call that does not end."""
    try:
        ctypes.CDLL(None).signal(signum, None)
    except Exception:  # no such C library: the status is another one then
        signum = signal.SIGKILL
    os.kill(os.getpid(), signum)


def _death_by(signum: int) -> _Death:
    return _dying.setdefault(os.getpid(), _Death(signum))


def _alive() -> list[tuple[Endangered, float]]:
    return [(one, seconds) for weak, seconds in tuple(_endangered) if (one := weak()) is not None]


def _seconds() -> float:
    return max((seconds for _, seconds in _alive()), default=0.0)


def _after_fork() -> None:
    """A forked child holds nothing, and must end by a signal at once, as if we were not there."""
    global _lock
    _lock = threading.RLock()
    _endangered.clear()
    _dying.clear()
    _put_back()
    while _pipe:
        os.close(_pipe.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
