"""`otel-wandb serve`: OTLP in, one run out."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console
from rich.live import Live

from otel_wandb_bridge.cli.extras import require
from otel_wandb_bridge.cli.serve_view import Rates, view_of
from otel_wandb_bridge.plural import count_of

if TYPE_CHECKING:
    from otel_wandb_bridge import OtlpReceiver

_Command = TypeVar("_Command", bound=Callable[..., Any])
_REFRESH_SECONDS = 1.0
_SECOND_SIGNAL_SECONDS = 1.0
_PREFIX = "OTEL_WANDB_RECEIVER_"
_ACCESS = ("host", "token", "certificate", "private_key", "client_ca", "insecure")


def _option(*names: str, **more: Any) -> Callable[[_Command], _Command]:
    """An option with its environment variable."""
    variable = _PREFIX + names[0].lstrip("-").upper().replace("-", "_")
    return click.option(*names, envvar=variable, show_envvar=True, **more)


@click.command()
@_option("--project", help="W&B project; by default as of WANDB_PROJECT.")
@_option("--entity", help="W&B entity; by default as of WANDB_ENTITY.")
@_option("--name", help="Name of the run.")
@_option(
    "--id",
    "run_id",
    help="Id of the run: one that exists is resumed. By default the journal's, or a new one.",
)
@_option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@_option(
    "--port", type=click.IntRange(0, 65_535), default=4318, show_default=True, help="For OTLP/HTTP; 0: any."
)
@_option(
    "--grpc-port", type=click.IntRange(0, 65_535), help="For OTLP/gRPC (the standard one is 4317); 0: any."
)
@_option("--token", help="What senders must say in `Authorization: Bearer …`.")
@_option("--certificate", type=click.Path(dir_okay=False), help="PEM file: TLS is spoken.")
@_option("--private-key", type=click.Path(dir_okay=False), help="PEM file with the key of the certificate.")
@_option("--client-ca", type=click.Path(dir_okay=False), help="PEM file: client certificates are asked for.")
@_option("--insecure", is_flag=True, help="Let everybody in who can reach the address.")
@_option(
    "--max-body-bytes",
    type=click.IntRange(min=1),
    default=64 << 20,
    help="Of a request, uncompressed. [64 MiB]",
)
@_option(
    "--max-waiting-bytes", type=click.IntRange(min=1), default=256 << 20, help="Of all that wait. [256 MiB]"
)
@_option(
    "--reorder",
    type=click.FloatRange(min=0),
    default=2.0,
    show_default=True,
    help="Seconds for overtaken exports.",
)
@_option(
    "--journal",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("wandb/receiver.journal"),
    show_default=True,
    help="What was acknowledged survives in this file, whatever ends the receiver.",
)
@_option("--no-journal", is_flag=True, help="Keep none.")
@_option(
    "--max-journal-bytes", type=click.IntRange(min=1), default=1 << 30, help="Of requests in it. [1 GiB]"
)
@click.option(
    "--expected-sources",
    callback=lambda _, __, text: _expected(text),
    help="Sources (how many, or a,b) that hold rows back until they report. By default as of "
    "OTEL_WANDB_EXPECTED_SOURCES, else as many ranks as the first of them says that there are; 0: none.",
)
@click.option("--live/--no-live", default=None, help="Show sources and counts. By default on a terminal.")
def serve(live: bool | None, no_journal: bool, **options: Any) -> None:
    """Receive OTLP metrics of many processes, and write one W&B run.

    Ends with Ctrl-C or SIGTERM: everything that was accepted is written, and the run is finished (status 1:
    not all could be written); a second signal, a second later or more, ends it at once. Options of the
    pipeline (hold, reduce, …) are taken from their variables, such as OTEL_WANDB_HOLD.
    """
    require("otel-wandb serve", "receiver", "uvicorn", "starlette", "opentelemetry.proto")
    _check_access(**{name: options[name] for name in _ACCESS})
    journal = None if no_journal else options["journal"]
    options.pop("journal")
    stop = _stop_by_signals()
    try:
        run, receiver = _started(journal, options)
    except (ValueError, TypeError, OSError, ImportError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"receiving OTLP metrics at {receiver.metrics_endpoint}", nl=True)
    if receiver.grpc_endpoint:
        click.echo(f"and by gRPC at {receiver.grpc_endpoint}")
    sys.stdout.flush()
    if live or (live is None and sys.stdout.isatty()):
        _watch(receiver, stop)
    else:
        while not stop.wait(1.0):
            pass
    receiver.stop()
    stats = receiver.stats()
    run.finish()
    click.echo(
        f"{count_of(stats.rows, 'row')}, {stats.written} of {count_of(stats.recorded, 'sample')} written"
    )
    if stats.shed:
        sys.exit(1)


def _expected(text: str | None) -> int | list[str] | None:
    if text is None:
        return None
    from otel_wandb_bridge.option_texts import PARSERS

    try:
        expected: int | list[str] = PARSERS["expected_sources"](text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return expected


def _check_access(
    host: str,
    token: str | None,
    certificate: str | None,
    private_key: str | None,
    client_ca: str | None,
    insecure: bool,
) -> None:
    """What the receiver would refuse, in the words of the command line."""
    from otel_wandb_bridge.receive.access import is_loopback

    if token is not None and not token.strip():
        raise click.UsageError("--token must not be empty")
    if bool(certificate) != bool(private_key):
        raise click.UsageError("--certificate and --private-key go together: give both files, or none")
    if client_ca and not certificate:
        raise click.UsageError("--client-ca needs --certificate and --private-key: it is a part of TLS")
    if not (insecure or token or client_ca or is_loopback(host)):
        raise click.UsageError(
            f"--host {host} can be reached from other machines, so senders have to prove who they are: give "
            "--token (or --client-ca, with --certificate and --private-key), or say --insecure"
        )


def _stop_by_signals() -> threading.Event:
    """Set by the first signal. A second one, but for those that come with the first, ends the process."""
    stop = threading.Event()
    began: list[float] = []

    def handle(number: int, _: object) -> None:
        began.append(time.monotonic())
        if began[-1] - began[0] >= _SECOND_SIGNAL_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    return stop


def _run_of(journal: Path | None, run_id: str | None) -> str | None:
    """The id of the run to go on with; None: a new run. No run is made for a journal that cannot be used."""
    from otel_wandb_bridge.receive.memory import unfinished_run

    unfinished = None if journal is None else unfinished_run(journal)
    if unfinished is not None and run_id not in (None, unfinished):
        raise ValueError(
            f"journal {journal} holds what is not yet in run {unfinished!r}, and --id says {run_id!r}; leave "
            f"that out to go on with {unfinished!r}, or give another --journal"
        )
    return run_id or unfinished


def _started(journal: Path | None, options: dict[str, Any]) -> tuple[Any, OtlpReceiver]:
    import wandb

    from otel_wandb_bridge import OtlpReceiver
    from otel_wandb_bridge.options import resolve
    from otel_wandb_bridge.receive.serving import listening_on

    of_run = {name: options.pop(name) for name in ("project", "entity", "name", "run_id")}
    # What cannot be used is said before a run is made.
    OtlpReceiver(journal=journal, **options)
    resolve()
    for port in filter(None, (options["port"], options["grpc_port"])):
        listening_on(options["host"], port).close()
    run_id = _run_of(journal, of_run["run_id"])
    try:
        run = wandb.init(
            project=of_run["project"],
            entity=of_run["entity"],
            name=of_run["name"],
            id=run_id,
            resume="allow" if run_id else None,
        )
    except wandb.Error as error:
        raise click.ClickException(f"W&B: {error}") from None
    receiver = OtlpReceiver(run, journal=journal, **options)
    try:
        receiver.start()
    except BaseException:
        run.finish(exit_code=1)
        raise
    return run, receiver


def _watch(receiver: OtlpReceiver, stop: threading.Event) -> None:
    rates = Rates()
    console = Console()
    with Live(console=console, auto_refresh=False, transient=True) as view:
        while True:
            view.update(view_of(rates.at(receiver.counts(), time.monotonic())), refresh=True)
            if stop.wait(_REFRESH_SECONDS):
                return
