"""What becomes of samples whose values W&B cannot take."""

from collections.abc import Mapping

from ..ledger import Ledger
from .shares import Held, SlotKey, standing


def reject(slots: Mapping[SlotKey, Held], refused: Mapping[str, Exception], ledger: Ledger) -> int:
    """Count the samples of the keys that were refused, and say once what W&B says.

    Returns:
        How many samples they are.
    """
    count = 0
    for key, error in refused.items():
        slot = standing(key, slots)
        if slot is not None:
            count += slot.samples
            text = f"{type(slot.value_of(key)).__name__} from source {slot.source!r}: W&B says {error!r}"
            ledger.reject("unwritable", repr(key), text, count=slot.samples)
    return count
