"""The banner: what listens where, and three things that work when they are copied."""

import dataclasses

import pytest
from django.core.management.base import CommandError

from a3mailer_site.env import Env
from mailcore.banner import banner, things_to_try
from mailcore.management.commands import runmailserver


@pytest.fixture
def env(tmp_path):
    return Env(data_dir=tmp_path, hostname="mail.example.com")


def test_every_listener_that_is_on_is_named(env):
    text = banner(dataclasses.replace(env, pop3_listen="off"), "anna@example.com")
    assert "mail.example.com" in text
    assert "127.0.0.1:2525" in text
    assert "127.0.0.1:2993" in text
    assert "2110" not in text


def test_that_all_mail_goes_into_one_mailbox_is_said(env):
    said = "All mail goes to dev@example.com; nothing is sent to other servers."
    assert said in banner(dataclasses.replace(env, catch_all="dev@example.com"), "anna@example.com")
    assert "All mail" not in banner(env, "anna@example.com")


def test_three_things_to_try(env):
    assert things_to_try(env, "anna@example.com") == [
        "swaks --server 127.0.0.1:2525 --to anna@example.com --from me@example.com",
        "curl --insecure --user anna@example.com 'imaps://127.0.0.1:2993/INBOX;MAILINDEX=1'",
        "http://127.0.0.1:8080/admin/",
    ]


def test_what_listens_everywhere_is_tried_on_this_machine(env):
    env = dataclasses.replace(env, smtp_listen="[::]:25", imaps_listen="0.0.0.0:993", http_listen="off")
    assert [line.split()[2] for line in things_to_try(env, "a@example.com")] == ["[::1]:25", "--user"]
    assert "imaps://127.0.0.1:993/" in things_to_try(env, "a@example.com")[1]


@pytest.mark.parametrize(("mode", "closed"), [(0o755, 0o700), (0o700, 0o700), (0o770, 0o700)])
def test_the_data_directory_is_closed_to_others(tmp_path, mode, closed):
    tmp_path.chmod(mode)
    runmailserver.check_data_dir(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == closed


def test_no_mail_process_is_refused():
    with pytest.raises(CommandError, match="at least one"):
        runmailserver.check_processes(0)
