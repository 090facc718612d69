"""Certificates: made at first start, read, refused, and changed while connections are open."""

import dataclasses
import ssl
import stat

import pytest
from cryptography import x509
from OpenSSL import SSL

from a3mailer_site.env import Env, SettingError
from mailcore import tls


@pytest.fixture
def env(tmp_path):
    return Env(data_dir=tmp_path, hostname="mail.example.com")


def certificate(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def shake_hands(certificates, **client):
    """A handshake in memory; returns the client's side."""
    server = certificates.serverConnectionForTLS(None)
    server.set_accept_state()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for name, value in client.items():
        setattr(context, name, value)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    side = context.wrap_bio(incoming, outgoing)
    for _ in range(10):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            pass
        else:
            return side
        server.bio_write(outgoing.read())
        try:
            server.do_handshake()
        except SSL.WantReadError:
            pass
        finally:
            incoming.write(server.bio_read(65536))
    raise AssertionError("no end to this handshake")


def test_a_self_signed_pair_is_made_once_for_the_host_name_and_localhost(env):
    assert tls.ensure_pair(env)
    path, key = tls.certificate_paths(env)
    names = certificate(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mail.example.com", "localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    assert not tls.ensure_pair(env)
    assert key.read_bytes() == before
    tls.context(env)


def test_an_international_host_name_gets_its_ascii_form(env):
    env = dataclasses.replace(env, hostname="pošta.example")
    tls.ensure_pair(env)
    names = certificate(tls.certificate_paths(env)[0]).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName)[0] == "xn--pota-h6a.example"


def test_nothing_is_made_where_a_certificate_is_set(env, tmp_path):
    env = dataclasses.replace(env, tls_cert=str(tmp_path / "a.crt"), tls_key=str(tmp_path / "a.key"))
    assert not tls.ensure_pair(env)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda path, key: path.unlink(), r"self-signed\.crt cannot be read: No such file"),
        (lambda path, key: key.unlink(), r"self-signed\.key cannot be read: No such file"),
        (lambda path, key: path.write_text("rubbish"), r"self-signed\.crt is not in PEM form"),
        (lambda path, key: key.write_text("rubbish"), r"self-signed\.key is not in PEM form"),
        (lambda path, key: path.write_bytes(key.read_bytes()), r"self-signed\.crt is not in PEM form"),
    ],
)
def test_a_pair_that_cannot_be_used_is_named(env, damage, problem):
    tls.ensure_pair(env)
    damage(*tls.certificate_paths(env))
    with pytest.raises(SettingError, match=problem):
        tls.context(env)


def test_a_key_of_another_certificate_is_refused_and_the_old_pair_stays(env, tmp_path):
    tls.ensure_pair(env)
    certificates = tls.Certificates(env)
    other = dataclasses.replace(env, data_dir=tmp_path / "other")
    other.data_dir.mkdir()
    tls.ensure_pair(other)
    mixed = dataclasses.replace(
        env, tls_cert=str(tls.certificate_paths(env)[0]), tls_key=str(tls.certificate_paths(other)[1])
    )
    with pytest.raises(SettingError, match="is the key of another certificate"):
        certificates.replace(mixed)
    old = certificate(tls.certificate_paths(env)[0])
    assert x509.load_der_x509_certificate(shake_hands(certificates).getpeercert(binary_form=True)) == old


def test_a_new_certificate_is_for_new_connections(env):
    tls.ensure_pair(env)
    certificates = tls.Certificates(env)
    path, key = tls.certificate_paths(env)
    open_connection = certificates.serverConnectionForTLS(None)
    path.unlink()
    key.unlink()
    tls.ensure_pair(env)
    certificates.replace(env)
    assert certificates.serverConnectionForTLS(None).get_context() is not open_connection.get_context()
    shown = x509.load_der_x509_certificate(shake_hands(certificates).getpeercert(binary_form=True))
    assert shown == certificate(path)


def test_tls_1_2_and_1_3_are_spoken(env):
    tls.ensure_pair(env)
    certificates = tls.Certificates(env)
    assert shake_hands(certificates).version() == "TLSv1.3"
    assert shake_hands(certificates, maximum_version=ssl.TLSVersion.TLSv1_2).version() == "TLSv1.2"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_versions_are_refused(env, version):
    tls.ensure_pair(env)
    with pytest.raises((ssl.SSLError, SSL.Error)):
        shake_hands(tls.Certificates(env), minimum_version=ssl.TLSVersion.TLSv1, maximum_version=version)
