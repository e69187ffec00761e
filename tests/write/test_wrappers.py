"""Who has wrapped `wandb.log` and `Run.log`, as far as it can be seen."""

import functools

import pytest
import wandb
from wandb import wandb_run

from otel_wandb_bridge.write.hooks import Hook, around
from otel_wandb_bridge.write.wrappers import wrappers_of_log


def theirs(*args, **kwargs):
    """Somebody's own."""


def others(*args, **kwargs):
    """Somebody else's."""


@pytest.fixture(autouse=True)
def no_wrappers(monkeypatch):
    """Whatever other tests have left there."""
    for owner, name in ((wandb, "log"), (wandb_run.Run, "log"), (wandb_run.Run, "_log")):
        function = getattr(owner, name)
        # W&B's own stand-in for the time without a run holds what `Run.log` was when the last one ended.
        while function.__code__.co_filename.endswith(("hooks.py", "patch.py", "preinit.py")):
            function = function.__wrapped__
        monkeypatch.setattr(owner, name, function)
    assert [] == wrappers_of_log()


def told():
    return [(each.where, each.name) for each in wrappers_of_log()]


def test_a_wrapper_is_named_with_its_place(monkeypatch):
    """Where it stands, and where it was made."""
    monkeypatch.setattr(wandb_run.Run, "log", theirs)
    (found,) = wrappers_of_log()
    assert ("Run.log", __name__, "theirs") == (found.where, found.module, found.name)
    assert (__file__, theirs.__code__.co_firstlineno) == (found.file, found.line)
    assert not found.is_ours


@pytest.mark.parametrize("name", ["log", "_log"])
def test_a_wrapper_that_calls_itself_as_what_it_wraps_is_named_by_its_code(monkeypatch, name):
    """`functools.wraps` copies the name. One that has made up a name of its own keeps that."""
    monkeypatch.setattr(wandb_run.Run, name, functools.wraps(getattr(wandb_run.Run, name))(others))
    monkeypatch.setattr(others, "__qualname__", f"Run.{name}")
    assert [(f"Run.{name}", "others")] == told()
    monkeypatch.setattr(others, "__qualname__", "Tracker.log")
    assert [(f"Run.{name}", "Tracker.log")] == told()


def test_wrappers_are_named_from_the_outermost_inwards(monkeypatch):
    """As far as each says what it wraps; W&B's own function is none of them."""
    monkeypatch.setattr(theirs, "__wrapped__", wandb_run.Run.log, raising=False)
    monkeypatch.setattr(others, "__wrapped__", theirs, raising=False)
    monkeypatch.setattr(wandb_run.Run, "log", others)
    assert [("Run.log", "others"), ("Run.log", "theirs")] == told()


def test_a_wrapper_that_stands_in_several_places_is_named_once(monkeypatch):
    """`wandb.log` is the bound `Run.log` while a run is active."""
    for name in ("log", "_log"):
        monkeypatch.setattr(wandb_run.Run, name, theirs)
    monkeypatch.setattr(wandb, "log", theirs.__get__(object()))
    assert [("wandb.log", "theirs")] == told()


def test_what_is_no_function_is_looked_through(monkeypatch):
    """And one that leads back to itself ends."""

    class Callable:
        __wrapped__ = theirs

    monkeypatch.setattr(theirs, "__wrapped__", theirs, raising=False)
    monkeypatch.setattr(wandb, "log", Callable())
    assert [("wandb.log", "theirs")] == told()


def test_the_bridges_own_are_known():
    """By where they were made."""
    take_off = around(wandb_run.Run, "_log", lambda call, *args, **kwargs: call(*args, **kwargs))
    (found,) = wrappers_of_log()
    assert ("Run._log", Hook.__module__, True) == (found.where, found.module, found.is_ours)
    take_off()
