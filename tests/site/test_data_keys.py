"""Keys that the server makes for itself: private, kept, and the same for everybody."""

import threading

import pytest

from a3mailer_site import keys
from a3mailer_site.keys import decrypt, encrypt, keep, private_directory


def test_a_key_is_private_and_stays(tmp_path):
    path = tmp_path / "d" / "key"
    assert keep(path, b"one") == b"one"
    assert keep(path, b"two") == b"one"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["key"]


def test_racing_makers_agree(tmp_path):
    results = []
    threads = [
        threading.Thread(target=lambda i=i: results.append(keep(tmp_path / "key", str(i).encode()))) for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(results)) == 1


def test_a_directory_that_exists_is_left_as_it_is(tmp_path):
    (tmp_path / "there").mkdir(mode=0o750)
    private_directory(tmp_path / "there")
    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o750


def test_a_secret_comes_back_and_is_not_readable_in_between():
    token = encrypt("hunter2")
    assert "hunter2" not in token
    assert decrypt(token) == "hunter2"
    assert decrypt(encrypt("")) == ""


def test_another_key_is_an_error_with_a_reason(tmp_path, monkeypatch):
    token = encrypt("hunter2")
    monkeypatch.setattr(keys, "current", lambda: type("Env", (), {"data_dir": tmp_path}))
    with pytest.raises(ValueError, match="another key"):
        decrypt(token)
