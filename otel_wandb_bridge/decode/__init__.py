"""Second stage: what a reader collected, turned into samples."""

from .decoder import Decoded, Decoder
from .naming import Naming, default_naming

__all__ = ["Decoded", "Decoder", "Naming", "default_naming"]
