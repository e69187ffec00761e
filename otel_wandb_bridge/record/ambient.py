"""The ambient training step: in OpenTelemetry baggage for this context, on the step clock for the process."""

import functools
import inspect
import logging
from collections.abc import Callable
from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, TypeVar

from opentelemetry import baggage, context
from opentelemetry.context import Context

from .. import attributes
from .clock import STEP_CLOCK

_logger = logging.getLogger("otel_wandb_bridge")
_said: set[str] = set()

# Context values and not baggage: baggage goes along to other processes, and what these report is theirs.
SOURCE_KEY = context.create_key("otel_wandb_bridge.source")
PRIORITY_KEY = context.create_key("otel_wandb_bridge.priority")

priorities_are_said = False
"""Whether any context of this process may say a priority: until then, nobody needs to look for one."""
names_are_said = False
"""As `priorities_are_said`, of a source or a priority."""

# Not on the object: many threads and tasks may be inside it at once, each in a context of its own.
_entered: ContextVar[tuple[tuple["training_step", Token[Context]], ...]] = ContextVar("entered", default=())

_F = TypeVar("_F", bound=Callable[..., Any])


class training_step(ContextDecorator):  # noqa: N801 (a context manager, named like contextlib's)
    """Say that everything recorded inside belongs to training step `step`.

    The step is put into the OpenTelemetry baggage of the current context, so it follows asyncio tasks,
    contexts that are passed to threads and, with OpenTelemetry's HTTP or gRPC instrumentation, requests to
    other processes. It also moves the process's step clock, for threads that were started elsewhere; the
    clock stays when the block ends.

        with training_step(7):
            loss.set(0.3)

    Usable as a decorator too, of functions and coroutine functions. A step that cannot be used (see
    `set_step`) is logged once, and the block runs with the step that was current before.

    Args:
        step: The training step, an int of at least 0.
        source: The component that reports, for measurements that carry no `source` attribute. It does not
            leave the process.
        priority: 0 (highest) to 10 (lowest), for measurements that carry no `priority` attribute.

    Thread-safety: one object may be entered by many threads and tasks, and nested.
    """

    def __init__(self, step: int, *, source: str | None = None, priority: int | None = None) -> None:
        global priorities_are_said, names_are_said
        self._step = usable_step("training_step", step)
        self._source = text_of(source)
        self._priority = None if priority is None else _priority_of(priority)
        if self._priority is not None:
            priorities_are_said = True
        names_are_said = names_are_said or self._source is not None or priorities_are_said

    def __enter__(self) -> int | None:
        """Enter the step; returns it as an int (None where it cannot be used)."""
        ambient = context.get_current()
        if self._step is not None:
            ambient = baggage.set_baggage(attributes.STEP, str(self._step), ambient)
            STEP_CLOCK.set(self._step, self._source)
        if self._source is not None:
            ambient = context.set_value(SOURCE_KEY, self._source, ambient)
        if self._priority is not None:
            ambient = context.set_value(PRIORITY_KEY, self._priority, ambient)
        _entered.set((*_entered.get(), (self, context.attach(ambient))))
        return self._step

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Return to the context of before; exceptions pass."""
        entered = _entered.get()
        for position in reversed(range(len(entered))):
            entry, token = entered[position]
            if entry is self:
                _entered.set(entered[:position] + entered[position + 1 :])
                context.detach(token)
                return

    def __call__(self, func: _F) -> _F:
        """Decorate a function or a coroutine function: each call runs inside the step."""
        if not inspect.iscoroutinefunction(func):

            @functools.wraps(func)
            def call(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return func(*args, **kwargs)

            return call  # type: ignore[return-value]

        @functools.wraps(func)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            with self:
                return await func(*args, **kwargs)

        return call_async  # type: ignore[return-value]


def set_step(step: int, *, source: str | None = None) -> None:
    """Move the process's step clock, for loops that have no block to put `training_step` around.

    With `source` it moves that source's step; the process's follows where that is a step forward, or where
    the same source moved it last. Never raises: a step that cannot be used (not an int of at least 0) is
    logged once and changes nothing.

    Thread-safety: safe from any thread.
    """
    usable = usable_step("set_step", step)
    named = text_of(source)
    if usable is not None:
        STEP_CLOCK.set(usable, named)


def current_step() -> int | None:
    """The step that a measurement without a `step` attribute would get here and now; None: unstepped."""
    ambient = context.get_current()
    step = step_of_baggage(ambient)
    return STEP_CLOCK.state.step_of(ambient.get(SOURCE_KEY)) if step is None else step


def step_of_baggage(ambient: Context | None) -> int | None:
    """The step in the baggage of a context; None where there is none, or none that can be used."""
    if not ambient:
        return None
    step = baggage.get_baggage(attributes.STEP, ambient)
    if step is None:
        return None
    try:
        return attributes.parse_step(step)
    except ValueError:
        return None


def text_of(source: Any) -> str | None:
    """The name of a source, whatever stands for it."""
    try:
        return None if source is None else str(source)
    except Exception:
        return type(source).__name__


def usable_step(call: str, value: Any) -> int | None:
    """The step that was given to a call of this name; None, counted and logged once, where it is none."""
    try:
        return attributes.parse_step(value)
    except ValueError:
        STEP_CLOCK.refuse()
        _say_ignored(
            f"{call}({_shown(value)}): a step is an int, 0 or greater; what is measured goes by the step of "
            "before, or has none where there was none"
        )
        return None


def _priority_of(value: Any) -> int | None:
    try:
        return attributes.parse_priority(value)
    except ValueError:
        _say_ignored(
            f"training_step(priority={_shown(value)}): a priority is an int from 0 (highest) to 10 (lowest)"
        )
        return None


def _say_ignored(text: str) -> None:
    if text not in _said and len(_said) < 1000:
        _said.add(text)
        _logger.warning("ignored: %s", text)


def _shown(value: Any) -> str:
    try:
        return repr(value)[:80]
    except Exception:
        return f"unprintable of type {type(value).__name__}"
