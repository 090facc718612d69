"""Certificates: reading them, making a self-signed pair at first start, and changing them while the server runs.

A connection takes the context that is in force when its handshake begins, so a reload changes nothing for those that
are open. TLS 1.2 is the oldest spoken.
"""

import datetime as dt
import ipaddress
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

from a3mailer_site.env import Env, SettingError

# For TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 has nothing else anyway.
CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL"
_SELF_SIGNED_DAYS = 3650
_COMMON_NAME_LIMIT = 64  # RFC 5280 appendix A.1, ub-common-name


def certificate_paths(env: Env) -> tuple[Path, Path]:
    """Return where certificate chain and key are: as set, or the self-signed pair in the data directory."""
    if env.tls_cert:
        return Path(env.tls_cert), Path(env.tls_key)
    return env.data_dir / "tls" / "self-signed.crt", env.data_dir / "tls" / "self-signed.key"


def context(env: Env) -> SSL.Context:
    """Read certificate and key; raises ``SettingError`` that says which file is wrong, and how."""
    certificate, key = certificate_paths(env)
    made = SSL.Context(SSL.TLS_SERVER_METHOD)
    made.set_min_proto_version(SSL.TLS1_2_VERSION)
    made.set_cipher_list(CIPHERS)
    made.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    # An idle connection gives its buffers back: 34 KiB each, and most IMAP connections are idle.
    made.set_mode(SSL.MODE_RELEASE_BUFFERS)
    made.set_session_id(b"a3mailer")
    _load(certificate, lambda: made.use_certificate_chain_file(os.fspath(certificate)))
    _load(key, lambda: made.use_privatekey_file(os.fspath(key)))
    return made


def describe(env: Env) -> dict[str, str]:
    """Return the fingerprint of the certificate in the file, and until when it is valid; raises ``SettingError``."""
    path, _key = certificate_paths(env)
    try:
        certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
    except OSError as error:
        raise SettingError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingError(f"{path} is not in PEM form, or damaged") from error
    expires = certificate.not_valid_after_utc
    return {
        "fingerprint": certificate.fingerprint(hashes.SHA256()).hex(),
        "expires_at": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "expired": "yes" if expires <= dt.datetime.now(dt.UTC) else "",
    }


def _load(path: Path, load: Callable[[], None]) -> None:
    try:
        path.open("rb").close()
        load()
    except OSError as error:
        raise SettingError(f"{path} cannot be read: {error.strerror}") from error
    except SSL.Error as error:
        if "mismatch" in str(error):  # found when the key is loaded after its certificate
            raise SettingError(f"{path} is the key of another certificate") from error
        raise SettingError(f"{path} is not in PEM form, or damaged") from error


@implementer(IOpenSSLServerConnectionCreator)
class Certificates:
    """Gives each new connection the certificate that is in force."""

    def __init__(self, env: Env) -> None:
        self._context = context(env)
        self.described = describe(env)

    def replace(self, env: Env) -> None:
        """Put another certificate in force; raises ``SettingError`` and changes nothing when it cannot be used."""
        self._context, self.described = context(env), describe(env)

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:  # noqa: ARG002, N802, N803
        """Begin TLS on a connection."""
        return SSL.Connection(self._context, None)


def ensure_pair(env: Env) -> bool:
    """Make a self-signed pair when none is set and none is there; say whether one was made."""
    certificate, key = certificate_paths(env)
    if env.tls_cert or (certificate.exists() and key.exists()):
        return False
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain = _self_signed(env.host_name, private).public_bytes(serialization.Encoding.PEM)
    key.parent.mkdir(mode=0o700, exist_ok=True)
    _write(key, pem, 0o600)
    _write(certificate, chain, 0o644)
    return True


def _self_signed(host_name: str, private: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    ascii_name = host_name.encode("idna").decode("ascii")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ascii_name[:_COMMON_NAME_LIMIT])])
    names: list[x509.GeneralName] = [x509.DNSName(each) for each in dict.fromkeys([ascii_name, "localhost"])]
    names += [x509.IPAddress(ipaddress.ip_address(each)) for each in ("127.0.0.1", "::1")]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=_SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write a file so that it is there whole or not at all, and never readable by others meanwhile."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
