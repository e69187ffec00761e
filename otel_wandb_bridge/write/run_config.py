"""What a run's config says of its telemetry: the entry `otel`."""

from collections.abc import Mapping
from typing import Any

from ..ledger import Ledger
from .run import Run

KEY = "otel"


class RunConfig:
    """Keeps `run.config["otel"]`: a mapping of sections: resource, metrics, sources.

    What an earlier part of a resumed run has said stays, unless it is said anew.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, run: Run, ledger: Ledger) -> None:
        self._run = run
        self._ledger = ledger

    def describe(self, sections: Mapping[str, Mapping[str, Any]]) -> None:
        """Add entries to sections. Never raises: what W&B refuses is said once."""
        try:
            config: Any = self._run.config
            before = _mapping(config.get(KEY))
            after = {**before}
            for section, entries in sections.items():
                if entries:
                    after[section] = {**_mapping(before.get(section)), **entries}
            if after != before:
                config.update({KEY: after}, allow_val_change=True)
        except Exception as error:
            self._ledger.say_once("config", KEY, f"W&B refuses the description of the telemetry: {error!r}")


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if hasattr(value, "keys") else {}
