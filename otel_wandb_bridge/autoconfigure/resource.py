"""A resource detector: the run, where it is known before the providers are made."""

import os
import sys

from opentelemetry.sdk.resources import Resource, ResourceDetector

_VARIABLES = {
    "wandb.run.id": "WANDB_RUN_ID",
    "wandb.project": "WANDB_PROJECT",
    "wandb.entity": "WANDB_ENTITY",
}


class WandbResourceDetector(ResourceDetector):
    """The detector of `OTEL_EXPERIMENTAL_RESOURCE_DETECTORS=wandb`.

    It finds the run of `wandb.init` where there is one, else what W&B's own variables say of the one to come
    (sweeps and launchers set `WANDB_RUN_ID`).
    """

    def detect(self) -> Resource:
        """See the class."""
        said = {name: os.environ.get(variable, "") for name, variable in _VARIABLES.items()}
        resource = Resource({name: value for name, value in said.items() if value})
        if "wandb" not in sys.modules:  # so there is no run
            return resource
        from ..resource import run_resource

        return resource.merge(run_resource())
