"""Which ``.wandb`` file a caller means: from a run, a run directory or the file itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class RunFiles(Protocol):
    """The two public attributes of a W&B run that lead to its file."""

    @property
    def id(self) -> str:
        """The id of the run."""

    @property
    def dir(self) -> str:
        """The ``files`` directory inside the run directory."""


Source = str | os.PathLike[str] | RunFiles


def find_wandb_file(source: Source) -> Path:
    """Return the path of the ``.wandb`` file of ``source``.

    A directory stands for the one ``.wandb`` file in it, or, if it has none, for the one its ``latest-run``
    link leads to. A path that is not a directory is returned unseen, as long as it exists.

    Raises:
        FileNotFoundError: nothing is there, or a directory leads to no ``.wandb`` file.
        ValueError: a directory holds several ``.wandb`` files.
    """
    if not isinstance(source, str | os.PathLike):
        path = Path(source.dir).parent / f"run-{source.id}.wandb"
    else:
        path = Path(source)
    if path.is_dir():
        return _only_file_in(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; expected a .wandb file or a W&B run directory")
    return path


def _only_file_in(directory: Path) -> Path:
    for place in (directory, directory / "latest-run"):
        found = sorted(place.glob("*.wandb"))
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise ValueError(
                f"{place}: expected one .wandb file, found {len(found)}: {names}; name one of them"
            )
        if found:
            return found[0]
    raise FileNotFoundError(
        f"{directory}: found no .wandb file and no latest-run link to one; expected a run directory"
        " (wandb/run-... or wandb/offline-run-...) or the wandb directory around it"
    )
