"""The work that contenders are put to: what components report, how often, and who takes part."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field

from .contenders import (
    Aim,
    BridgeAmbient,
    BridgeInstruments,
    BridgeLog,
    BridgeLogProcess,
    BridgeLogThread,
    Contender,
    Floor,
    LastValue,
    Mlflow,
    Neptune,
    Nothing,
    Patched,
    PrometheusClient,
    SdkAlone,
    SdkAloneAmbient,
    StepLabels,
    TensorBoard,
    Trackio,
    Values,
    WandbAxis,
    WandbLog,
    WandbMerged,
)

FOUR = {"trainer": 8, "reward": 4, "rollout": 4, "evaluation": 4}
LAGS = {"trainer": 0, "reward": 1, "rollout": 3, "evaluation": 8}
"""How many steps a component is behind the trainer, where they are skewed."""

_BRIDGE = (BridgeInstruments, BridgeLog, Patched)
_DICTS = (WandbLog, TensorBoard, Mlflow, Neptune, Aim, Trackio, *_BRIDGE, Floor)


@functools.cache
def _keys(source: str, count: int) -> list[str]:
    """The keys of a component, which are constants in a program."""
    return [f"{source}/key{number}" for number in range(count)]


@dataclass(frozen=True)
class Work:
    """One workload.

    Attributes:
        name: What `--only` takes.
        title: What it is, in a line.
        contenders: Who does it, in turns.
        steps: How many training steps, and how many with `--quick`.
        sources: Component to number of scalars; each component makes one call a step.
        pause: Seconds between two steps.
        skewed: Each component is a thread of its own, some behind others.
        python: The trainer computes for so many seconds a step, in Python.
        rounds: How often at most.
        turns: How often each contender's turn comes in a round.
        interval: Milliseconds between two flushes.
    """

    name: str
    title: str
    contenders: tuple[type[Contender], ...]
    steps: tuple[int, int]
    sources: dict[str, int] = field(default_factory=lambda: FOUR)
    pause: float = 0.0
    skewed: bool = False
    python: float = 0.0
    rounds: int = 100
    turns: int = 1
    interval: int = 2_000

    def reports(self, step: int) -> list[tuple[str, Values]]:
        """What each component reports at a step."""
        return [
            (source, {key: step + number / 64 for number, key in enumerate(_keys(source, count))})
            for source, count in self.sources.items()
        ]

    def scalars(self, steps: int) -> Iterator[tuple[int, str, float]]:
        """All that is reported: step, key and value."""
        for step in range(steps):
            for _, values in self.reports(step):
                for key, value in values.items():
                    yield step, key, value


WORKS = {
    work.name: work
    for work in (
        Work(
            "W1",
            "Four components, 8 + 4 + 4 + 4 scalars a step, a call each, without a pause",
            (
                WandbLog,
                WandbAxis,
                Aim,
                TensorBoard,
                Mlflow,
                Neptune,
                Trackio,
                PrometheusClient,
                SdkAlone,
                SdkAloneAmbient,
                LastValue,
                StepLabels,
                BridgeInstruments,
                BridgeAmbient,
                BridgeLog,
                Patched,
                Floor,
            ),
            (2_000, 200),
        ),
        Work(
            "W1-paced",
            "The same with 4 ms between steps",
            (WandbLog, BridgeInstruments, BridgeAmbient, BridgeLog, Patched, Floor),
            (500, 100),
            pause=0.004,
        ),
        Work(
            "W1-long",
            "The same as W1 for long enough to tell CPU time from that of a start",
            (WandbLog, WandbMerged, BridgeLog, Patched),
            (8_000, 200),
            rounds=3,
        ),
        Work(
            "W2",
            "The same from four threads, of which three are 1, 3 and 8 steps behind",
            (WandbLog, WandbAxis, TensorBoard, Mlflow, Trackio, LastValue, StepLabels, *_BRIDGE),
            (1_000, 100),
            skewed=True,
            rounds=1,
        ),
        Work(
            "W2-interval",
            "50,000 steps of four scalars in one flush interval",
            (LastValue, StepLabels, BridgeInstruments, BridgeLog),
            (50_000, 3_000),
            sources=dict.fromkeys(FOUR, 1),
            rounds=1,
            interval=3_600_000,
        ),
        Work("W3", "One call of 20 scalars a step", _DICTS, (2_000, 200), sources={"trainer": 20}),
        Work(
            "W3-call",
            "The same for the call alone, five times a round",
            (WandbLog, BridgeLog, Patched, Floor, Nothing),
            (2_000, 200),
            sources={"trainer": 20},
            turns=5,
        ),
        Work(
            "W3-paced",
            "The same with 4 ms between steps, three times a round",
            (WandbLog, BridgeLog, Patched, Floor, Nothing),
            (1_000, 100),
            sources={"trainer": 20},
            pause=0.004,
            rounds=3,
            turns=3,
        ),
        Work(
            "W3-long",
            "The same as W3 for long enough to tell CPU time from that of a start",
            (WandbLog, BridgeLog, Patched),
            (8_000, 200),
            sources={"trainer": 20},
            rounds=3,
        ),
        Work(
            "W4",
            "100,000 steps of five scalars without a pause",
            (Floor, WandbLog, Trackio, BridgeLog),
            (100_000, 2_000),
            sources={"trainer": 5},
            rounds=1,
        ),
        Work(
            "W5",
            "10,000 keys in one call a step",
            (WandbLog, SdkAlone, *_BRIDGE),
            (10, 2),
            sources={"trainer": 10_000},
            rounds=1,
        ),
        Work(
            "W6",
            "A trainer of pure Python, 250 steps of 20 scalars a second",
            (Nothing, WandbMerged, BridgeLog, BridgeLogThread, BridgeLogProcess, Patched),
            (2_500, 250),
            python=0.004,
            rounds=2,
        ),
        Work(
            "ten-a-second",
            "Ten steps a second of 20 scalars from four components",
            (WandbMerged, WandbLog, Patched),
            (120, 20),
            pause=0.1,
            rounds=2,
        ),
    )
}
"""By name."""
