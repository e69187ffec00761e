"""What becomes of samples whose values W&B cannot take."""

from collections.abc import Mapping

from ..ledger import Ledger
from ..records import Row
from .shares import standing


def reject(row: Row, refused: Mapping[str, Exception], ledger: Ledger) -> int:
    """Count the samples of the keys that were refused as rejected, not as written, and say once why.

    Args:
        row: It has left the reconciler.
        refused: Its keys whose values W&B cannot take, each with what W&B says.
        ledger: The counts.

    Returns:
        How many samples they are.
    """
    rejected = 0
    for key, error in refused.items():
        slot = standing(key, row.slots)
        if slot is None and (row.slots or key not in row.values):
            continue  # a statistic of the histogram that stands under another key
        text, count = f"W&B says {error!r}", 1
        if slot is not None:
            text = f"{type(slot.value_of(key)).__name__} from source {slot.source!r}: {text}"
            count = slot.samples
        rejected += count
        ledger.written -= count
        ledger.reject("unwritable", repr(key), text, count=count)
    return rejected
