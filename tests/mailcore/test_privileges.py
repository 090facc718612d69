"""From root to a user, in a process of its own: there is no way back."""

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from mailcore.supervisor.privileges import PrivilegeError, drop

ROOT = Path(__file__).resolve().parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

DROP = """
import json, os, sys
from pathlib import Path
from mailcore.supervisor.privileges import PrivilegeError, drop
try:
    drop(sys.argv[1], Path(sys.argv[2]))
except PrivilegeError as error:
    print(json.dumps({"error": str(error)}))
    sys.exit()
try:
    os.setuid(0)
    back = True
except PermissionError:
    back = False
print(json.dumps({"ids": [*os.getresuid(), *os.getresgid()], "back": back, "home": os.environ["HOME"]}))
"""


def dropped(user, data_dir):
    done = subprocess.run(
        [sys.executable, "-c", DROP, user, str(data_dir)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return json.loads(done.stdout)


@pytest.fixture
def nobody():
    return pwd.getpwnam("nobody")


def make(data_dir, *names):
    for name in names:
        path = data_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


def owners(data_dir):
    return {str(path.relative_to(data_dir)): path.stat().st_uid for path in [data_dir, *data_dir.rglob("*")]}


def test_without_a_user_nothing_happens(tmp_path):
    drop("", tmp_path)


def test_a_user_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(PrivilegeError, match="there is no such user"):
        drop("no-such-user", tmp_path)


def test_who_is_that_user_already_stays(tmp_path):
    drop(pwd.getpwuid(os.geteuid()).pw_name, tmp_path)


@as_root
def test_root_becomes_the_user_for_good_and_hands_everything_over(tmp_path, nobody):
    make(tmp_path, "secret_key", "tls/self-signed.key", "bodies/ab/cd")
    said = dropped("nobody", tmp_path)
    assert said["ids"] == [nobody.pw_uid] * 3 + [nobody.pw_gid] * 3
    assert said["back"] is False
    assert said["home"] == nobody.pw_dir
    assert set(owners(tmp_path).values()) == {nobody.pw_uid}


@as_root
def test_what_root_left_behind_later_is_handed_over_but_bodies_are_not_searched(tmp_path, nobody):
    os.chown(tmp_path, nobody.pw_uid, nobody.pw_gid)
    make(tmp_path, "a3mailer.sqlite3", "tls/self-signed.key", "bodies/ab/cd")
    dropped("nobody", tmp_path)
    assert owners(tmp_path)["tls/self-signed.key"] == nobody.pw_uid
    assert owners(tmp_path)["a3mailer.sqlite3"] == nobody.pw_uid
    assert owners(tmp_path)["bodies/ab/cd"] == 0


@as_root
def test_the_data_directory_of_a_third_user_is_refused(tmp_path):
    os.chown(tmp_path, pwd.getpwnam("daemon").pw_uid, -1)
    assert "belongs to daemon" in dropped("nobody", tmp_path)["error"]
    assert tmp_path.stat().st_uid == pwd.getpwnam("daemon").pw_uid
