"""Delivery status notifications: readable by people and programs, and safe whatever strangers said."""

import email
from email import policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.message.dsn import Notification, RecipientReport, build
from mailcore.message.dsn_actions import Action
from mailcore.message.dsn_words import LANGUAGES
from mailcore.message.structure import scan, walk

ORIGINAL = b"From: alice@example.com\r\nSubject: hello\r\n\r\nthe body\r\n"


def report(**facts):
    return RecipientReport(**({"address": "bob@example.net", "action": Action.FAILED, "status": "5.1.1"} | facts))


def notification(*reports, **facts):
    usual = {
        "reporting_mta": "mx.example.com",
        "recipient": "alice@example.com",
        "sender": "MAILER-DAEMON@mx.example.com",
        "message_id": "<1@mx.example.com>",
        "at": 1_700_000_000,
        "original": ORIGINAL,
        "reports": reports or (report(),),
    }
    return Notification(**(usual | facts))


def parse(message):
    assert b"\n" not in message.replace(b"\r\n", b"")
    assert b"\r" not in message.replace(b"\r\n", b"")
    return email.message_from_bytes(message, policy=policy.SMTP)


@pytest.mark.parametrize(
    "facts",
    [
        {"recipient": "a@b\r\nBcc: eve@example.com"},
        {"recipient": "a@b, eve@example.com"},
        {"recipient": ""},
        {"sender": "x y"},
        {"message_id": "<1>\r\nX: y"},
    ],
)
def test_our_own_facts_must_be_sound(facts):
    with pytest.raises(ValueError):  # noqa: PT011
        build(notification(**facts))


def test_a_failure_is_told_to_people_and_to_programs():
    message = parse(
        build(
            notification(
                report(
                    original="rfc822;Bob@example.net",
                    remote_mta="mx.example.net",
                    diagnostic="550 5.1.1 No\r\nsuch user",
                    last_attempt=1_700_000_000,
                ),
                envelope_id="QQ314159",
                arrived_at=1_699_999_000,
            )
        )
    )
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert message["auto-submitted"] == "auto-replied"
    assert message["to"] == "alice@example.com"
    text, status, returned = message.iter_parts()
    assert "could not be delivered" in text.get_content()
    assert (
        "<bob@example.net>\n    There is no such mailbox. Look for a mistake in the address.\n"
        "    mx.example.net said:\n    550 5.1.1 No such user"
    ) in text.get_content().replace("\r", "")
    about, bob = status.get_payload()
    assert dict(about.items()) == {
        "Original-Envelope-Id": "QQ314159",
        "Reporting-MTA": "dns; mx.example.com",
        "Arrival-Date": "Tue, 14 Nov 2023 21:56:40 +0000",
    }
    assert dict(bob.items()) == {
        "Original-Recipient": "rfc822; Bob@example.net",
        "Final-Recipient": "rfc822; bob@example.net",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mx.example.net",
        "Diagnostic-Code": "smtp; 550 5.1.1 No such user",
        "Last-Attempt-Date": "Tue, 14 Nov 2023 22:13:20 +0000",
    }
    assert returned.get_content_type() == "text/rfc822-headers"
    assert returned.get_content().replace("\r", "") == "From: alice@example.com\nSubject: hello\n"


@pytest.mark.parametrize("action", list(Action))
def test_each_action_has_its_own_words(action):
    others = [build(notification(report(action=other))) for other in Action if other is not action]
    message = build(notification(report(action=action, retry_until=1_700_050_000)))
    assert message not in others
    assert f"\r\nAction: {action.value}\r\n".encode() in message
    assert (b"Will-Retry-Until: Wed, 15 Nov 2023 12:06:40 +0000" in message) is (action is Action.DELAYED)


def test_in_chinese_with_english_below():
    message = parse(build(notification(report(diagnostic="550 5.1.1 No"), language="zh-hans")))
    assert message["subject"] == "退信：您的邮件未能送达"
    assert message["from"] == "邮件投递系统 <MAILER-DAEMON@mx.example.com>"
    text = next(message.iter_parts()).get_content()
    assert "该邮箱不存在" in text
    assert text.index("您的邮件未能送达") < text.index("Your message could not be delivered")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("5.1.1", "no such mailbox"),
        ("4.2.2", "is full"),
        ("5.7.1", "by its rules"),
        ("5.7.30", "cannot prove"),
        ("5.0.0", "Status: 5.0.0"),
        ("nonsense", "Status: nonsense"),
    ],
)
def test_why_is_said_in_plain_words(status, words):
    assert words in next(parse(build(notification(report(status=status)))).iter_parts()).get_content()


def test_every_language_has_every_word():
    first, *others = LANGUAGES["zh-hans"]
    for words in others:
        for name in ("subjects", "explanations", "reasons"):
            assert getattr(words, name).keys() == getattr(first, name).keys()


def test_the_worst_gives_the_subject():
    message = parse(build(notification(report(action=Action.DELIVERED), report())))
    assert message["subject"].startswith("Undelivered")


def test_the_whole_message_comes_back_when_asked_for_with_sound_line_ends():
    message = parse(build(notification(original=b"Subject: x\n\nh\xe9\rllo\n", return_full=True)))
    returned = list(message.iter_parts())[2]
    assert returned.get_content_type() == "message/rfc822"
    assert returned["content-transfer-encoding"] == "8bit"


def test_a_boundary_is_never_in_what_is_returned():
    first = build(notification())
    boundary = first.split(b'boundary="')[1].split(b'"')[0]
    again = build(notification(original=b"\r\n\r\n--" + boundary, return_full=True))
    assert len(list(walk(scan(again)))) == 5


def test_addresses_beyond_ascii_need_smtputf8_only_where_the_sender_has_it():
    foreign = report(address="jörg@example.net")
    plain = notification(foreign)
    assert not plain.smtputf8
    assert build(plain).isascii()
    assert b"Final-Recipient: utf-8; j\\x{F6}rg@example.net\r\n" in build(plain)
    able = notification(foreign, utf8=True, original="Subject: früh\r\n\r\n".encode())
    assert able.smtputf8
    assert "Final-Recipient: utf-8; jörg@example.net\r\n".encode() in build(able)
    assert b"Content-Type: message/global-delivery-status\r\n" in build(able)
    assert b"Content-Type: message/global-headers\r\n" in build(able)
    assert notification(recipient="jörg@example.com").smtputf8
    assert not notification(utf8=True).smtputf8


@given(st.text(), st.text(), st.text(), st.text(), st.text(), st.binary(), st.booleans(), st.booleans())
def test_nobody_can_break_out_of_a_report(address, original, mta, diagnostic, envelope_id, message, full, utf8):
    built = build(
        notification(
            report(address=address, original=original, remote_mta=mta, diagnostic=diagnostic),
            envelope_id=envelope_id,
            original=message,
            return_full=full,
            utf8=utf8,
        )
    )
    parse(built)
    root = scan(built)
    assert len(root.children) == 3
    assert len(list(root.headers)) == 8
    assert utf8 or full or built.isascii()
