"""`WANDB_STEP_FIX_ENABLED=true`: `wandb.log` is patched without a line of code.

Python runs this at start-up, from the two files `otel_wandb_bridge_start.pth` and `.start` that stand beside
the package: the former is what all interpreters up to 3.17 execute, the latter what takes its place from 3.15
on (PEP 829). There is no other hook that works without code: `sitecustomize` is one for each installation and
often taken, and W&B has no plug-ins. With the variable unset nothing is imported by it; with it set, the
standard library alone, until `wandb` itself is imported.
"""

import os
import sys

TYPE_CHECKING = False  # of `typing`, which takes longer to import than all that happens here
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

VARIABLE = "WANDB_STEP_FIX_ENABLED"
YES = ("true", "1", "yes", "on")
NO = ("false", "0", "no", "off")
_is_started = False


def start() -> None:
    """Patch `wandb` once it is imported, if the environment says so. Never raises; the first call counts."""
    global _is_started
    if _is_started:
        return
    _is_started = True
    value = os.environ.get(VARIABLE, "").strip().lower()
    if value in ("", *NO):
        return
    try:
        if value in YES:
            _after_import(_patch)
        else:
            text = f"{VARIABLE}={value!r} is none of {', '.join((*YES, *NO))}: wandb.log is not patched"
            _after_import(lambda: print(f"wandb_step_fix: {text}", file=sys.stderr))
    except Exception as error:  # a start-up hook must not break a Python
        print(f"wandb_step_fix: it is not started: {error!r}", file=sys.stderr)


def _patch() -> None:
    try:
        from .wandb_step_fix import patch_wandb_log

        patch_wandb_log()
    except Exception as error:  # the import of wandb must go on
        print(f"wandb_step_fix: wandb.log is not patched: {error}", file=sys.stderr)


def _import_wandb() -> None:
    import contextlib

    with contextlib.suppress(Exception):  # who needs it will hear of it
        __import__("wandb")


def _after_import(callback: "Callable[[], None]") -> None:
    if "wandb" in sys.modules:
        callback()
        return

    # No subclasses of those in `importlib.abc`: it imports `typing`, `tempfile` and more.
    class AfterImport:
        """Finds `wandb` where the other finders do, and calls back once it is loaded."""

        def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "ModuleSpec | None":
            if name.startswith("otel_wandb_bridge."):
                # Whoever imports a part of ours first, which imports `wandb` in its turn: now, while no part
                # of ours is half imported, the patch can import what it needs.
                _import_wandb()
                return None
            if name != "wandb":
                return None
            for finder in sys.meta_path:
                spec = None if finder is self else finder.find_spec(name, path, target)
                if spec is not None:
                    if spec.loader is not None:
                        and_then: Any = AndThen(spec.loader)
                        spec.loader = and_then
                    return spec
            return None

    class AndThen:
        """Loads as another loader does, and looks like it."""

        def __init__(self, loader: "Any") -> None:
            self._loader = loader

        def __getattr__(self, name: str) -> "Any":
            return getattr(self._loader, name)

        def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
            made: ModuleType | None = self._loader.create_module(spec)
            return made

        def exec_module(self, module: "ModuleType") -> None:
            module.__loader__ = self._loader  # from here on, nobody sees that we were there
            if module.__spec__ is not None:
                module.__spec__.loader = self._loader
            self._loader.exec_module(module)
            # Only now: to look for a module (`importlib.util.find_spec`) is not to import it.
            if hook in sys.meta_path:
                sys.meta_path.remove(hook)
                callback()

    hook: Any = AfterImport()
    sys.meta_path.insert(0, hook)
