"""A job of several ranks, for scripts: each a process under torchrun's variables."""

WORKER = """
import os, signal, sys, time
from opentelemetry import metrics
from otel_wandb_bridge import configure, training_step

rank, (first, last, pause, *end) = int(os.environ["RANK"]), map(float, sys.argv[1:])
bridge = configure(export_interval_millis=30, **eval(os.environ.get("OPTIONS", "{}")))
meter = metrics.get_meter("trainer")
loss, tokens = meter.create_gauge("loss"), meter.create_counter("tokens")
latency = meter.create_histogram("latency")
for step in range(int(first), int(last)):
    with training_step(step):
        loss.set(step + rank)
        tokens.add(10 ** rank)
        latency.record(step + rank / 10)
        bridge.log({"Eval/top-1": step * 10 + rank})
    if end and step == end[0]:
        assert bridge.force_flush()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(pause)
bridge.shutdown()
assert bridge.stats().is_conserved() and not bridge.stats().shed, bridge.stats()
assert "wandb" not in sys.modules
"""

JOB = f"""
import subprocess
from otel_wandb_bridge import OtlpReceiver

def start(rank, world_size, *arguments, endpoint=None, **variables):
    torchrun = {{"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world_size, "MASTER_ADDR": "127.0.0.1"}}
    endpoint = {{"OTEL_WANDB_ENDPOINT": endpoint or receiver.endpoint}}
    environment = {{**os.environ, **endpoint, **torchrun, **variables}}
    command = [sys.executable, "-c", {WORKER!r}, *map(str, arguments)]
    environment = {{name: str(value) for name, value in environment.items()}}
    return subprocess.Popen(command, env=environment)

def end_well(*workers):
    codes = [worker.wait(60) for worker in workers]
    assert all(code == 0 for code in codes), codes

run = wandb.init(project="ranks")
"""

REPORT = """
stats = receiver.stats()
report(recorded=stats.recorded, late=stats.late, conserved=stats.is_conserved(), pending=stats.pending)
run.finish()
"""
