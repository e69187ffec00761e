"""Who may send: everybody on this machine, and from others those who prove it."""

import hmac
import ipaddress
import ssl
from dataclasses import dataclass, field
from typing import Any

_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class Access:
    """The rules by which senders are let in. Inert; checked when made.

    Attributes:
        host: The address that is listened on.
        token: What senders must say in `Authorization: Bearer …`; None: nothing.
        certificate: PEM file with the certificate of this server (and its chain): TLS is spoken.
        private_key: PEM file with its key, without a passphrase.
        client_ca: PEM file with the authorities whose client certificates are let in.
        insecure: Let everybody in who can reach an address that is no loopback address.

    Raises:
        TypeError, ValueError: naming the option, what came and what is expected.
    """

    host: str = "127.0.0.1"
    token: str | None = field(default=None, repr=False)
    certificate: str | None = None
    private_key: str | None = None
    client_ca: str | None = None
    insecure: bool = False

    def __post_init__(self) -> None:
        if self.token is not None and (not isinstance(self.token, str) or not self.token.strip()):
            raise ValueError("token must be a non-empty string, or None; got an empty one")
        if self.token is not None and not (self.token.isascii() and self.token.strip().isprintable()):
            # Senders disagree about the bytes of anything else in a header, and gRPC takes none.
            raise ValueError("token must be of printable ASCII characters, for it stands in a header")
        if bool(self.certificate) != bool(self.private_key):
            raise ValueError("certificate and private_key go together: give both files, or none")
        if self.client_ca and not self.certificate:
            raise ValueError("client_ca needs certificate and private_key: it is a part of TLS")
        if not (self.insecure or self.token or self.client_ca or is_loopback(self.host)):
            raise ValueError(
                f"host={self.host!r} can be reached from other machines, so senders have to prove who they "
                "are: give a token (or client_ca, with certificate and private_key), or say insecure=True"
            )
        if self.certificate:
            self.tls_context()

    def allows(self, authorization: str | None) -> bool:
        """Whether the text of an `Authorization` header is right; compared in constant time."""
        if self.token is None:
            return True
        given = authorization or ""
        if not given.lower().startswith(_BEARER):
            return False
        return hmac.compare_digest(given[len(_BEARER) :].strip().encode(), self.token.strip().encode())

    def tls_context(self) -> ssl.SSLContext:
        """What the server speaks TLS with.

        Raises:
            ValueError: a file cannot be read, by name.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(str(self.certificate), str(self.private_key))
        except (OSError, ssl.SSLError) as error:
            raise ValueError(
                f"certificate={self.certificate!r} with private_key={self.private_key!r} cannot be used: "
                f"{error}"
            ) from None
        if self.client_ca:
            try:
                context.load_verify_locations(self.client_ca)
            except (OSError, ssl.SSLError) as error:
                raise ValueError(f"client_ca={self.client_ca!r} cannot be used: {error}") from None
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def uvicorn_options(self) -> dict[str, Any]:
        """The arguments of `uvicorn.Config` for it."""
        if not self.certificate:
            return {}
        options: dict[str, Any] = {"ssl_certfile": self.certificate, "ssl_keyfile": self.private_key}
        if self.client_ca:
            options |= {"ssl_ca_certs": self.client_ca, "ssl_cert_reqs": ssl.CERT_REQUIRED}
        return options


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
