"""Settings: every mistake is named, the real environment wins, an empty listener is off."""

import pytest

from a3mailer_site.env import SettingError, host_and_port, load, read_env_file


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("A3MAILER_PROFILE", "prod", "development or production"),
        ("A3MAILER_PLAINTEXT_AUTH", "always", "never or loopback"),
        ("A3MAILER_TLS_CERT", "/x.pem", "only one is set"),
        ("A3MAILER_ALLOWED_HOSTS", "mail.example.com, *", "name the hosts"),
        ("A3MAILER_SMTP_LISTEN", "25", "A3MAILER_SMTP_LISTEN"),
        ("A3MAILER_IMAP_LISTEN", "127.0.0.1:99999", "host:port"),
        ("A3MAILER_MESSAGE_LIMIT", "50M", "whole number"),
        ("A3MAILER_MESSAGE_LIMIT", "-1", "whole number"),
        ("A3MAILER_STRICT_PERMISSIONS", "maybe", "true or false"),
        ("A3MAILER_FUTURE_RELEASE_DAYS", "99999999999", "at most 3650"),
    ],
)
def test_a_wrong_value_names_its_variable_and_what_is_expected(tmp_path, name, value, said):
    with pytest.raises(SettingError, match=said) as error:
        load({"A3MAILER_DATA_DIR": str(tmp_path), name: value})
    assert "A3MAILER_" in str(error.value)


def test_defaults_listen_on_loopback_only(tmp_path):
    env = load({"A3MAILER_DATA_DIR": str(tmp_path)})
    listeners = ["smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "http"]
    assert [env.listen(name) for name in listeners] == [
        [("127.0.0.1", port)] for port in (2525, 2587, 2465, 2143, 2993, 2110, 2995, 8080)
    ]
    assert env.listen("managesieve") == env.listen("lmtp") == env.listen("https") == []
    assert env.plaintext_auth == "never"
    assert not env.plaintext_allowed("127.0.0.1")


def test_production_uses_the_standard_ports(tmp_path):
    env = load({"A3MAILER_DATA_DIR": str(tmp_path), "A3MAILER_PROFILE": "production"})
    assert env.listen("smtp") == [("::", 25)]
    assert env.listen("imaps") == [("::", 993)]


@pytest.mark.parametrize("value", ["", "off"])
def test_an_empty_listener_is_off(tmp_path, value):
    assert load({"A3MAILER_DATA_DIR": str(tmp_path), "A3MAILER_SMTP_LISTEN": value}).listen("smtp") == []


def test_the_file_is_read_and_the_environment_wins(tmp_path):
    (tmp_path / "a3mailer.env").write_text("# comment\n\nA3MAILER_HOSTNAME='a.example'\nA3MAILER_EVENT_DAYS=7\n")
    env = load({"A3MAILER_DATA_DIR": str(tmp_path), "A3MAILER_HOSTNAME": "b.example"})
    assert (env.host_name, env.event_days) == ("b.example", 7)


def test_a_broken_line_of_the_file_is_named(tmp_path):
    path = tmp_path / "a3mailer.env"
    path.write_text("A3MAILER_HOSTNAME=a\nnonsense\n")
    with pytest.raises(SettingError, match="line 2"):
        read_env_file(path)


def test_several_addresses_and_ipv6(tmp_path):
    env = load({"A3MAILER_DATA_DIR": str(tmp_path), "A3MAILER_SMTP_LISTEN": "127.0.0.1:25,[::1]:25"})
    assert env.listen("smtp") == [("127.0.0.1", 25), ("::1", 25)]
    assert host_and_port("[::]:993", "X") == ("::", 993)


@pytest.mark.parametrize(
    ("address", "allowed"), [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("192.0.2.1", False)]
)
def test_plaintext_is_for_loopback_only_even_when_allowed(tmp_path, address, allowed):
    env = load({"A3MAILER_DATA_DIR": str(tmp_path), "A3MAILER_PLAINTEXT_AUTH": "loopback"})
    assert env.plaintext_allowed(address) is allowed
