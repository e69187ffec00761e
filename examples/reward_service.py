"""A reward service, instrumented by OpenTelemetry alone: its latency lands on the step of who asks.

    python examples/reward_service.py

The trainer starts the service by itself, under `opentelemetry-instrument`, and calls it once a step. The step
travels in the request's baggage, a header of the W3C; the service has a run of its own, and each request is
in the row of the step that caused it. Needs `pip install fastapi uvicorn opentelemetry-distro
opentelemetry-instrumentation-fastapi opentelemetry-instrumentation-requests`.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path


def serve() -> None:
    """The service. Not a line about telemetry."""
    import uvicorn
    import wandb
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/reward")
    def reward(answer: str) -> float:
        return len(answer) / 10

    listening = socket.create_server(("127.0.0.1", 0))
    with wandb.init(project="reward-service", name="service"):
        print(listening.getsockname()[1], flush=True)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        server.run(sockets=[listening])


def train(port: int) -> None:
    """The trainer."""
    import requests
    import wandb
    from opentelemetry.instrumentation.requests import RequestsInstrumentor

    from otel_wandb_bridge import configure, training_step

    with wandb.init(project="reward-service", name="trainer") as run:
        bridge = configure(run)
        RequestsInstrumentor().instrument()
        reward = bridge.meter_provider.get_meter("trainer").create_gauge("reward")
        for step in range(5):
            with training_step(step):
                answer = "x" * step
                asked = requests.get(f"http://127.0.0.1:{port}/reward", {"answer": answer}, timeout=30)
                reward.set(asked.json())


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        service = subprocess.Popen(
            [Path(sys.executable).with_name("opentelemetry-instrument"), sys.executable, __file__, "serve"],
            env={
                **os.environ,
                "OTEL_METRICS_EXPORTER": "wandb",
                "OTEL_TRACES_EXPORTER": "none",
                "OTEL_LOGS_EXPORTER": "none",
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            train(int(service.stdout.readline()))
        finally:
            service.terminate()
            service.wait()
