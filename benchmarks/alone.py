"""`python -m benchmarks.alone MODULE ARGUMENT`: the module, ending only when all that it started has ended.

What outlives its parent, as W&B's service may, is handed to the nearest subreaper. That is this process, so
that whoever waits for it has paid for all, and waits for nothing of their own.
"""

import contextlib
import ctypes
import os
import subprocess
import sys

_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Run the module and wait: its exit status."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    ended = subprocess.run([sys.executable, "-m", *sys.argv[1:]], stdin=subprocess.DEVNULL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main())
