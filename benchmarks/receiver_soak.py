"""Many samples from many clients, for a long time: memory stays flat, and every sample is accounted for.

    python benchmarks/receiver_soak.py [--samples 10000000] [--clients 8] [--no-journal]

Each client is a process and a rank of its own that reports fifty keys at every step, and sends 100 steps in a
request; told to come again later, it does. The receiver writes a real offline run, in this process. Shown is
the resident memory of this process as it goes, and at the end where all samples went.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import wandb
from receiver import request

from otel_wandb_bridge import OtlpReceiver

KEYS = 50
STEPS_IN_ONE = 100


def send(url: str, rank: int, steps: int) -> None:
    """One client."""
    come_again = 0
    for first in range(0, steps, STEPS_IN_ONE):
        body = request(first, keys=KEYS, steps=STEPS_IN_ONE, rank=rank)
        while True:
            try:
                headers = {"content-type": "application/x-protobuf"}
                urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60).read()
                break
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    raise
                come_again += 1
                time.sleep(float(error.headers["retry-after"]))
    print(json.dumps({"rank": rank, "come_again": come_again}))


def resident_mebibytes() -> float:
    """Of this process (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--no-journal", action="store_true")
    parser.add_argument("--send", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.send:
        url, rank, steps = arguments.send
        send(url, int(rank), int(steps))
        return
    steps = arguments.samples // arguments.clients // KEYS // STEPS_IN_ONE * STEPS_IN_ONE
    with tempfile.TemporaryDirectory() as directory:
        run = wandb.init(project="soak", mode="offline", dir=directory, settings={"silent": True})
        journal = None if arguments.no_journal else Path(directory) / "journal"
        receiver = OtlpReceiver(
            run, port=0, journal=journal, expected_sources=arguments.clients, max_waiting_bytes=32 << 20
        )
        receiver.start()
        start = time.monotonic()
        clients = [
            subprocess.Popen(
                [sys.executable, __file__, "--send", receiver.metrics_endpoint, str(rank), str(steps)]
            )
            for rank in range(arguments.clients)
        ]
        while any(client.poll() is None for client in clients):
            time.sleep(10)
            counts = receiver.counts()
            journal_mebibytes = (counts["journal_bytes"] or 0) >> 20
            print(
                f"{time.monotonic() - start:6.0f} s  {resident_mebibytes():7.0f} MiB  "
                f"{counts['samples']['recorded']:12,} samples  {counts['samples']['rows']:8,} rows  "
                f"{counts['requests']['refused']:6,} refused  {journal_mebibytes:5} MiB journal",
                flush=True,
            )
        receiver.stop()
        stats = receiver.stats()
        run.finish()
        print(stats)
        sent = arguments.clients * steps * KEYS
        print(f"{sent:,} sent, {stats.recorded:,} recorded, {stats.written:,} written, {stats.rows:,} rows")
        if not (stats.is_conserved() and sent == stats.recorded == stats.written):
            raise SystemExit("not every sample is in the run")


if __name__ == "__main__":
    main()
