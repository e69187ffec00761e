"""What a process says of itself: its resource attributes."""

import os
import socket
import uuid
from collections.abc import Mapping
from contextlib import suppress

from opentelemetry.sdk.resources import Resource, ResourceDetector

from .sources import (
    HOST_NAME,
    LOCAL_RANK,
    PROCESS_PID,
    RANK,
    SERVICE_INSTANCE_ID,
    WORLD_SIZE,
    whole,
)

_VARIABLES = {RANK: "RANK", WORLD_SIZE: "WORLD_SIZE", LOCAL_RANK: "LOCAL_RANK"}
_instance: dict[int, str] = {}


class TrainingResourceDetector(ResourceDetector):
    """Detects which process of a training job this is.

    `service.instance.id` (made anew in each process), `host.name` and `process.pid` of the semantic
    conventions; `training.rank`, `training.world_size` and `training.local_rank` from `RANK`, `WORLD_SIZE`
    and `LOCAL_RANK`, which torchrun sets. `configure` uses it; others can have it by
    `OTEL_EXPERIMENTAL_RESOURCE_DETECTORS=training`.
    """

    def detect(self) -> Resource:
        """What is known of this process. Never raises."""
        return Resource(process_attributes(os.environ))


def process_attributes(environ: Mapping[str, str]) -> dict[str, str | int]:
    """The resource attributes of this process; of a forked child, its own."""
    pid = os.getpid()
    found: dict[str, str | int] = {
        SERVICE_INSTANCE_ID: _instance.setdefault(pid, str(uuid.uuid4())),
        PROCESS_PID: pid,
    }
    with suppress(OSError):
        found[HOST_NAME] = socket.gethostname()
    for attribute, variable in _VARIABLES.items():
        number = whole(environ.get(variable))
        if number is not None:
            found[attribute] = number
    return found
