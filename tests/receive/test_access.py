"""Who may send."""

import datetime
import ipaddress
import ssl

import pytest
from otlp_sender import gauge_of, request_of, send

from otel_wandb_bridge import OtlpReceiver

REQUEST = request_of(gauge_of("loss", {0: 1.0})).SerializeToString()


USES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)
"""What a certificate may be for, as X.509 counts it ("Key Usage")."""


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    """Certificates: an authority's, a server's, and a client's."""
    x509 = pytest.importorskip("cryptography.x509", reason="cryptography is needed to make certificates")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    directory = tmp_path_factory.mktemp("papers")
    now = datetime.datetime.now(datetime.timezone.utc)

    def paper(name, issuer, issuer_key, key):
        is_authority = issuer is None
        use = dict.fromkeys(USES, False)
        use["key_cert_sign" if is_authority else "digital_signature"] = True
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            # Python 3.13 and later ask for these three (`ssl.VERIFY_X509_STRICT`).
            .add_extension(x509.KeyUsage(**use), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key((issuer_key or key).public_key()), False
            )
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
            )
        )
        certificate = builder.sign(issuer_key or key, hashes.SHA256())
        (directory / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (directory / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate

    key = ec.generate_private_key(ec.SECP256R1())
    authority = paper("authority", None, None, key)
    for name in ("server", "client"):
        paper(name, authority.subject, key, ec.generate_private_key(ec.SECP256R1()))
    return directory


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"host": "0.0.0.0"}, "insecure=True"),
        ({"host": "::"}, "token"),
        ({"host": "10.0.0.1"}, "client_ca"),
        ({"host": "somewhere"}, "other machines"),
        ({"token": " "}, "token"),
        ({"token": "sécret"}, "ASCII"),
        ({"token": "two\nlines"}, "ASCII"),
        ({"certificate": "a.pem"}, "private_key"),
        ({"client_ca": "a.pem"}, "certificate"),
        ({"certificate": "none.pem", "private_key": "none.key"}, "none.pem"),
        ({"port": 70_000}, "port"),
        ({"max_body_bytes": 0}, "max_body_bytes"),
        ({"reorder": -1.0}, "reorder"),
    ],
)
def test_what_cannot_be_used_is_said_at_once(options, says):
    """By name, with what to do; other machines are let in by nobody's oversight."""
    with pytest.raises(ValueError, match=says):
        OtlpReceiver(**options)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_is_let_in(host):
    """Loopback addresses need no token."""
    OtlpReceiver(host=host)


@pytest.mark.parametrize("more", [{"token": "secret"}, {"insecure": True}])
def test_others_are_let_in_if_that_is_said(more):
    """With a token, or without anything where that is the explicit wish."""
    OtlpReceiver(host="0.0.0.0", **more)


def test_a_token_is_asked_for(receiving):
    """401 without it; the counts need it, too, health does not."""
    receiver = receiving(token="secret")
    assert 401 == send(receiver.endpoint, REQUEST).status
    assert 401 == send(receiver.endpoint, REQUEST, authorization="Bearer wrong").status
    assert 401 == send(receiver.endpoint, REQUEST, authorization="Bearer sécret".encode()).status
    assert 401 == send(receiver.endpoint, REQUEST, authorization="Basic secret").status
    assert 200 == send(receiver.endpoint, REQUEST, authorization="Bearer secret").status
    assert 401 == send(receiver.endpoint, None, path="/stats", method="GET").status
    assert 200 == send(receiver.endpoint, None, path="/healthz", method="GET").status


def test_tls_by_files(receiving, papers):
    """The sender checks the certificate."""
    receiver = receiving(certificate=str(papers / "server.pem"), private_key=str(papers / "server.key"))
    assert receiver.endpoint.startswith("https://")
    trust = ssl.create_default_context(cafile=papers / "authority.pem")
    assert 200 == send(receiver.endpoint, REQUEST, context=trust).status


def test_client_certificates_are_asked_for(receiving, papers):
    """Whoever has none does not get to say anything."""
    receiver = receiving(
        certificate=str(papers / "server.pem"),
        private_key=str(papers / "server.key"),
        client_ca=str(papers / "authority.pem"),
    )
    trust = ssl.create_default_context(cafile=papers / "authority.pem")
    with pytest.raises(OSError, match=r"(?i)certificate|reset|closed|EOF|pipe"):
        send(receiver.endpoint, REQUEST, context=trust)
    trust.load_cert_chain(papers / "client.pem", papers / "client.key")
    assert 200 == send(receiver.endpoint, REQUEST, context=trust).status


def test_client_certificates_are_asked_for_over_grpc_too(receiving, papers):
    """By the same files."""
    grpc = pytest.importorskip("grpc", reason="the extra `grpc` is not installed")
    receiver = receiving(
        grpc_port=0,
        certificate=str(papers / "server.pem"),
        private_key=str(papers / "server.key"),
        client_ca=str(papers / "authority.pem"),
    )
    trust = (papers / "authority.pem").read_bytes()
    own = ((papers / "client.key").read_bytes(), (papers / "client.pem").read_bytes())
    export = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
    with (
        grpc.secure_channel(receiver.grpc_endpoint, grpc.ssl_channel_credentials(trust)) as stranger,
        grpc.secure_channel(receiver.grpc_endpoint, grpc.ssl_channel_credentials(trust, *own)) as known,
    ):
        with pytest.raises(grpc.RpcError) as refused:
            stranger.unary_unary(export)(REQUEST, timeout=20)
        assert grpc.StatusCode.UNAVAILABLE == refused.value.code()
        known.unary_unary(export)(REQUEST, timeout=20)


def test_an_address_that_is_taken_is_an_error(receiving):
    """Said with the port, and what to do."""
    first = receiving()
    port = int(first.endpoint.rpartition(":")[2])
    second = OtlpReceiver(port=port)
    with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}.*another port"):
        second.start()
