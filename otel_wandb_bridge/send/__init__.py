"""The worker's end of the road: what is recorded goes by OTLP to the process that owns the run."""

from .answer import LastAnswer
from .sender import Sender, keep_senders, living_senders
from .transport import exporter_to

__all__ = ["LastAnswer", "Sender", "exporter_to", "keep_senders", "living_senders"]
