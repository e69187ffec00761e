"""Second stage: what a reader collected, turned into samples."""

from .decoder import Decoded, Decoder
from .descriptions import Descriptions
from .naming import Naming, default_naming
from .traces import TraceIds

__all__ = ["Decoded", "Decoder", "Descriptions", "Naming", "TraceIds", "default_naming"]
