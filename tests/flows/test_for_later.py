"""Mail that is handed in for later, and mail that can be taken back, over the wire and through the API."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from test_telling_others import api

from wire import until

pytestmark = pytest.mark.flow


def hand_in(person, recipient, parameters=b""):
    with person.submission() as smtp:
        assert b"FUTURERELEASE" in smtp.say(b"EHLO client.example")
        assert smtp.envelope(person.address, recipient, parameters=parameters).startswith(b"250")
        reply = smtp.data(f"From: <{person.address}>\r\nSubject: later\r\n\r\nhello\r\n".encode())
        assert reply.startswith(b"250"), reply
        return reply.split()[-1].decode()


def test_mail_comes_when_its_time_has_come(any_server, person, friend):
    began = time.monotonic()
    hand_in(person, friend.address, b" HOLDFOR=3")
    assert friend.mail() == []
    (content,) = friend.wait_for()
    assert b"Subject: later" in content
    assert time.monotonic() - began >= 3


def test_until_a_moment_it_can_be_taken_back_or_sent_after_all(any_server, person, friend):
    at = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    first, second = (hand_in(person, friend.address, b" HOLDUNTIL=" + at) for _ in range(2))
    shown = api(any_server, "GET", f"queue/messages/{first}")
    assert shown["release_at"].encode() == at
    api(any_server, "DELETE", f"queue/messages/{first}")
    api(any_server, "POST", f"queue/messages/{second}/retry")
    friend.wait_for()
    time.sleep(1)
    assert len(friend.mail()) == 1


def test_a_user_may_think_it_over(any_server, person, friend):
    users = api(any_server, "GET", f"users?search={person.address}")["users"]
    api(any_server, "PATCH", f"users/{users[0]['id']}", {"undo_seconds": 300})
    queue_id = hand_in(person, friend.address)
    assert api(any_server, "GET", f"queue/messages/{queue_id}")["release_at"]
    api(any_server, "DELETE", f"queue/messages/{queue_id}")
    api(any_server, "PATCH", f"users/{users[0]['id']}", {"undo_seconds": 0})
    hand_in(person, friend.address)
    friend.wait_for()
    assert len(friend.mail()) == 1


def test_what_is_beyond_a_limit_is_held_until_somebody_releases_it(any_server, person, friend):
    user = api(any_server, "GET", f"users?search={person.address}")["users"][0]["id"]
    api(any_server, "PATCH", f"users/{user}", {"send_limit_hour": 1})
    hand_in(person, "one@nowhere.example")
    queue_id = hand_in(person, "two@nowhere.example")
    shown = until(lambda: api(any_server, "GET", f"queue/messages/{queue_id}"))
    assert [(each["state"], each["hold_reason"]) for each in shown["recipients"]] == [
        ("held", "The user has sent to more than 1 recipients within an hour.")
    ]
    hand_in(person, friend.address)
    friend.wait_for()
    released = api(any_server, "POST", f"queue/messages/{queue_id}/release")
    assert released["recipients"][0]["state"] != "held"
