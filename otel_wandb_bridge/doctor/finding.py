"""One thing that the doctor has looked at."""

from dataclasses import dataclass

FINE, NOTE, TROUBLE = "fine", "note", "trouble"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, and what was found.

    Attributes:
        about: A few words: `wandb.log`, `step views`.
        state: `fine`; `note`: worth knowing; `trouble`: metrics are lost, or end where nobody looks.
        text: What was found.
        mend: What to do; empty where nothing is to be done.
    """

    about: str
    state: str
    text: str
    mend: str = ""

    def __str__(self) -> str:
        mend = f" -> {self.mend}" if self.mend else ""
        return f"[{self.state}] {self.about}: {self.text}{mend}"
