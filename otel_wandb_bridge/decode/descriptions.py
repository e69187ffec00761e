"""What metrics say of themselves: unit, description, and the scopes that report them."""

from typing import Any

from opentelemetry.sdk.metrics.export import Metric

from ..attributes import LANE_SCOPE, SELF_SCOPES, SENT_SCOPE
from .naming import Naming

_NOT_DESCRIBED = SELF_SCOPES | {LANE_SCOPE, SENT_SCOPE}
"""The bridge's own metrics, and calls of `Bridge.log`, which have nothing to say but their keys."""
MOST_METRICS = 10_000
"""How many metrics are described: who makes ever new ones must not fill the config of the run with them."""


class Descriptions:
    """By key (without attributes), the unit, description and scope of each metric; several scopes are a list.

    Of a metric that several processes report, the first stands.

    Thread-safety: none; the pipeline's lock guards it.
    """

    def __init__(self, naming: Naming) -> None:
        self._naming = naming
        self._noted: set[tuple[str, str]] = set()
        self._by_key: dict[str, dict[str, Any]] = {}
        self._news: set[str] = set()

    def note(self, metric: Metric, scope: str) -> None:
        """Note what a metric says of itself, the first time that it comes from this scope."""
        if (scope, metric.name) in self._noted:
            return
        if scope in _NOT_DESCRIBED or len(self._noted) >= MOST_METRICS:
            return
        self._noted.add((scope, metric.name))
        try:
            key = self._naming(metric.name, {})
        except Exception:  # it may rely on attributes that there are none of
            key = metric.name
        if not isinstance(key, str) or not key:
            return
        said = {"unit": metric.unit, "description": metric.description, "scope": scope}
        known = self._by_key.get(key)
        if known is None:
            self._by_key[key] = {name: text for name, text in said.items() if text}
        elif scope:
            scopes = known.get("scope", [])
            scopes = {*(scopes if isinstance(scopes, list) else [scopes]), scope}
            self._by_key[key] = {**known, "scope": sorted(scopes) if len(scopes) > 1 else scope}
        self._news.add(key)

    def news(self) -> dict[str, dict[str, Any]]:
        """Those that are new, or have got a further scope, since the last call."""
        if not self._news:
            return {}
        news, self._news = self._news, set()
        return {key: self._by_key[key] for key in sorted(news)}
