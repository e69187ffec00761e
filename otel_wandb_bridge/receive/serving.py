"""An ASGI application, served by uvicorn in a thread of its own."""

import asyncio
import socket
import threading
from typing import Any

import uvicorn

_BACKLOG = 2048
_GRACE_SECONDS = 5
_KEEP_ALIVE_SECONDS = 75
"""Longer than the usual interval between two exports: else each would have to connect anew, TLS and all."""


class HttpServer:
    """Serves from `start` to `stop`.

    Args:
        application: The ASGI application.
        host: The address to listen on.
        port: The port; 0 takes a free one.
        tls: Arguments of `uvicorn.Config` that begin with `ssl_`.

    Raises:
        OSError: the address cannot be listened on.

    Thread-safety: `start` and `stop` are for one thread.
    """

    def __init__(self, application: Any, host: str, port: int, tls: dict[str, Any]) -> None:
        self._socket = listening_on(host, port)
        self.port: int = self._socket.getsockname()[1]
        """The port that is listened on."""
        config = uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=_GRACE_SECONDS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            ws="none",
            **tls,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="otel-wandb-http", daemon=True)

    def start(self) -> None:
        """Begin to answer. What comes before waits in the backlog of the socket."""
        self._thread.start()

    def stop(self) -> None:
        """Answer what is under way, and end."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))


def listening_on(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        OSError: the address cannot be listened on; with what to do.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise OSError(
            error.errno,
            f"cannot listen on {host}:{port}: {error.strerror}; choose another port, or 0 for a free one",
        ) from None
    return listening
