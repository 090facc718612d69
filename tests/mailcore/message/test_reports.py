"""Reports of other servers: delivery reports and complaints, in their forms and without form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.message.reports import Report, ReportedRecipient, read_report

DELIVERY = b"""From: MAILER-DAEMON@far.test
Subject: Undelivered
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

It did not work.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.far.test
Original-Envelope-Id: abc

Original-Recipient: rfc822; bob@far.test
Final-Recipient: rfc822;robert@inner.test
Action: Failed
Status: 5.1.1 (no such user)
Diagnostic-Code: smtp; 550 5.1.1 No
  such user

Final-Recipient: utf-8; j\\x{FC}rgen@far.test
Action: delayed
Status: 4.4.1

--b
Content-Type: message/rfc822

Return-Path: <bounces+x@example.com>
Message-ID: <1@example.com>
Subject: hello

body
--b--
""".replace(b"\n", b"\r\n")

COMPLAINT = b"""From: fbl@far.test
Content-Type: multipart/report; report-type=feedback-report; boundary=b

--b
Content-Type: text/plain

A complaint.
--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: SomeGenerator/1.0
Version: 1
Original-Mail-From: <bounces+y@example.com>
Original-Rcpt-To: <bob@far.test>
Original-Rcpt-To: amy@far.test

--b
Content-Type: text/rfc822-headers

Message-ID: <2@example.com>
Subject: buy

--b--
""".replace(b"\n", b"\r\n")


def test_a_delivery_report():
    assert read_report(DELIVERY) == Report(
        "delivery",
        (
            ReportedRecipient("robert@inner.test", "bob@far.test", "failed", "5.1.1", "550 5.1.1 No such user"),
            ReportedRecipient("jürgen@far.test", "", "delayed", "4.4.1", ""),
        ),
        reporter="mx.far.test",
        mail_from="bounces+x@example.com",
        message_id="<1@example.com>",
    )


def test_a_complaint():
    assert read_report(COMPLAINT) == Report(
        "feedback",
        reporter="SomeGenerator/1.0",
        feedback_type="abuse",
        mail_from="bounces+y@example.com",
        rcpt_to=("bob@far.test", "amy@far.test"),
        message_id="<2@example.com>",
    )


def test_the_status_in_base64_and_in_upper_case():
    import base64

    status = base64.encodebytes(b"Reporting-MTA: dns; m\n\nFinal-Recipient: rfc822; a@b.test\nAction: failed\n")
    content = (
        b'Content-Type: MULTIPART/Report; Report-Type="Delivery-Status"; boundary=b\n\n--b\n'
        b"Content-Type: Message/Delivery-Status\nContent-Transfer-Encoding: BASE64\n\n" + status + b"--b--\n"
    )
    report = read_report(content)
    assert report is not None
    assert report.recipients == (ReportedRecipient("a@b.test", "", "failed", "", ""),)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"Subject: hello\r\n\r\nbody",
        b"Content-Type: multipart/report\r\n\r\n",
        b"Content-Type: multipart/report; report-type=disposition-notification; boundary=b\r\n\r\n--b--\r\n",
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n",
        b"Content-Type: multipart/mixed; report-type=delivery-status; boundary=b\r\n\r\n--b--\r\n",
    ],
)
def test_what_is_no_report(content):
    assert read_report(content) is None


@pytest.mark.parametrize("content", [DELIVERY, COMPLAINT], ids=["delivery", "complaint"])
def test_no_word_of_a_stranger_has_what_a_database_does_not_take(content):
    for name in (b"No\r\n", b"robert", b"1@example.com", b"abuse", b"SomeGenerator", b"<bob", b"mx.far.test", b"{FC}"):
        content = content.replace(name, b"\0\x1b" + name if name != b"{FC}" else b"{00}")
    told = repr(read_report(content))
    assert "far.test" in told
    assert "\\x00" not in told
    assert "\\x1b" not in told


def test_a_report_on_thousands_is_read_to_a_bound():
    group = b"\r\nFinal-Recipient: rfc822; a@b.test\r\nAction: failed\r\n"
    content = DELIVERY.replace(b"\r\nOriginal-Recipient", group * 10_000 + b"\r\nOriginal-Recipient")
    report = read_report(content)
    assert report is not None
    assert len(report.recipients) == 100


@given(st.data())
def test_whatever_is_broken_in_it_is_read_without_an_error(data):
    content = bytearray(data.draw(st.sampled_from([DELIVERY, COMPLAINT])))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=6))
    read_report(bytes(content))
