"""An entrance: OTLP of other processes, over HTTP and gRPC, into the pipeline of one run.

Needs the extra `receiver`: `pip install "otel-wandb-bridge[receiver]"`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .receiver import OtlpReceiver

__all__ = ["OtlpReceiver"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from .receiver import OtlpReceiver
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'the receiver needs {error.name}: pip install "otel-wandb-bridge[receiver]"', name=error.name
        ) from error
    return OtlpReceiver
