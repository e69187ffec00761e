"""The contenders, by name."""

from .bridge import (
    BridgeAmbient,
    BridgeInstruments,
    BridgeLog,
    BridgeLogProcess,
    BridgeLogThread,
    Patched,
)
from .contender import Contender, Scalar, Values
from .floor import Floor, Nothing
from .opentelemetry_alone import LastValue, SdkAlone, SdkAloneAmbient, StepLabels
from .trackers import Aim, Mlflow, Neptune, PrometheusClient, TensorBoard, Trackio
from .wandb_alone import WandbAxis, WandbLog, WandbMerged

__all__ = [
    "CONTENDERS",
    "Aim",
    "BridgeAmbient",
    "BridgeInstruments",
    "BridgeLog",
    "BridgeLogProcess",
    "BridgeLogThread",
    "Contender",
    "Floor",
    "LastValue",
    "Mlflow",
    "Neptune",
    "Nothing",
    "Patched",
    "PrometheusClient",
    "Scalar",
    "SdkAlone",
    "SdkAloneAmbient",
    "StepLabels",
    "TensorBoard",
    "Trackio",
    "Values",
    "WandbAxis",
    "WandbLog",
    "WandbMerged",
]

CONTENDERS: dict[str, type[Contender]] = {
    contender.__name__: contender
    for contender in (
        WandbLog,
        WandbAxis,
        WandbMerged,
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
        BridgeLogThread,
        BridgeLogProcess,
        Patched,
        Floor,
        Nothing,
    )
}
"""In the order of the tables."""
