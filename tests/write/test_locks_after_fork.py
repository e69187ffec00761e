"""A forked child finds every lock free: a thread that is not there any more may have held it."""

import os
import threading

import pytest

from otel_wandb_bridge.write import finish, hooks, target, traffic

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),  # a fork beside threads
]


@pytest.mark.parametrize("module", [finish, hooks, target, traffic], ids=lambda module: module.__name__)
def test_a_lock_of_a_module_is_free_in_a_child(module):
    """Whoever held it in the parent."""
    holds, may_go = threading.Event(), threading.Event()

    def hold():
        with module._lock:
            holds.set()
            may_go.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    holds.wait(20)
    child = os.fork()
    if child == 0:
        os._exit(0 if module._lock.acquire(timeout=5) else 1)
    may_go.set()
    thread.join()
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
