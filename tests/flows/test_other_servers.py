"""Mail to and from a real Postfix, Exim and OpenSMTPD: what each of them offers is used, and nothing is lost."""

import contextlib
import email
import email.policy
import json

import pytest
from running import PASSWORD, Person

from between import CLOSE_AT_DATA, CLOSE_AT_RCPT, CUT_BEFORE_DOT, CUT_IN_MESSAGE, LOSE_REPLY, Between
from peers.exim import Exim
from peers.opensmtpd import OpenSmtpd
from peers.postfix import Postfix
from peers.rooted import BROKEN, INTERNATIONAL
from server import ADD_PEOPLE
from wire import Smtp, until

pytestmark = [pytest.mark.flow, pytest.mark.peer]

PEERS = {"postfix": Postfix, "exim": Exim, "opensmtpd": OpenSmtpd}
BREAKS = (CLOSE_AT_RCPT, CLOSE_AT_DATA, CUT_IN_MESSAGE, CUT_BEFORE_DOT, LOSE_REPLY)
LARGE = 20_000_000


class Meeting:
    """A peer and the server in the internet of the tests, which know the way to each other."""

    def __init__(self, internet, kind, stack):
        self.server, self.internet = internet.server, internet
        self.inwards = stack.enter_context(Between(self.server.ports["smtp"]))
        relay = {
            "example.test": self.server.ports["smtp"],
            "verified.test": f"verified:{self.server.ports['smtp']}",
            "cut.test": self.inwards.port,
            "letters.test": self.server.ports["smtp"],
        }
        self.peer = stack.enter_context(PEERS[kind](f"{kind}.test", relay))
        self.outwards = stack.enter_context(Between(self.peer.port))
        domain, host = self.peer.domain, f"mx.{kind}.test"
        internet.dns.add(host, "A", "127.0.0.1")
        ways = [
            (domain, host, self.peer.port, "opportunistic"),
            (f"verified.{domain}", host, self.peer.port, "required"),
            (f"cut.{domain}", host, self.outwards.port, "opportunistic"),
            *((f"{how}.{domain}", host, port, "required") for how, port in self.peer.broken.items()),
        ]
        internet.add_routes(ways)

    def submit(self, person, recipient, content, mail=b"", rcpt=b""):
        """Somebody of ours sends; returns the queue id."""
        with person.submission() as smtp:
            return _hand_in(smtp, person.address, recipient, content, mail, rcpt).split()[-1].decode()

    def hand(self, sender, recipient, content, mail=b"", rcpt=b""):
        """Somebody of the peer sends."""
        with Smtp(self.peer.port, source="127.0.0.2") as smtp:
            _hand_in(smtp, sender, recipient, content, mail, rcpt)


def _hand_in(smtp, sender, recipient, content, mail, rcpt):
    reply = smtp.envelope(sender, parameters=mail)
    assert reply.startswith(b"250"), reply
    reply = smtp.say(b"RCPT TO:<%s>%s" % (recipient.encode(), rcpt))
    assert reply.startswith(b"250"), reply
    reply = smtp.data(content)
    assert reply.startswith(b"250"), reply
    return reply


@pytest.fixture(scope="session")
def strangers(internet):
    """People of ours in domains to which the peers have other ways."""
    for domain in ("verified.test", "cut.test"):
        internet.server.manage("adddomain", domain)
    addresses = [f"{name}{number}@{name}.test" for name in ("verified", "cut") for number in range(30)]
    internet.server.manage("shell", "--no-imports", "-c", ADD_PEOPLE, stdin=json.dumps([PASSWORD, addresses]))
    people = [Person(internet.server, address) for address in addresses]
    return {name: iter([one for one in people if one.address.startswith(name)]) for name in ("verified", "cut")}


@pytest.fixture(scope="session")
def meetings(internet):
    """All that were begun, by kind."""
    begun = {}
    with contextlib.ExitStack() as stack:
        yield lambda kind: begun.get(kind) or begun.setdefault(kind, Meeting(internet, kind, stack))


@pytest.fixture(params=PEERS)
def meeting(request, meetings, strangers):
    """With each of the peers in turn."""
    return meetings(request.param)


def letter(sender, recipient, *lines, subject=b"hello"):
    """A message that no server has to add anything to."""
    head = b"From: <%s>\r\nTo: <%s>\r\nDate: Fri, 27 Nov 2026 12:00:00 +0000\r\nMessage-ID: <%d.x@example.test>\r\n"
    body = b"".join(line + b"\r\n" for line in lines)
    content = b"Subject: " + subject + b"\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    content += b"Content-Transfer-Encoding: 8bit\r\n\r\n" + body
    return head % (sender.encode(), recipient.encode(), hash((sender, recipient, content))) + content


AWKWARD = (b"", b".", b"..", b".dot", b"x" * 990, b"trailing  ", b"\ttab", b"From me", b"", b"")
EIGHT_BIT = ("grüße 世界".encode(), b"")


def local(content):
    """As a Maildir has it."""
    return content.replace(b"\r\n", b"\n")


# -- Plain mail, and what the extensions are for -----------------------------------------------------------------------


@pytest.mark.parametrize(("lines", "body"), [(AWKWARD, b""), (EIGHT_BIT, b" BODY=8BITMIME")], ids=["7bit", "8bit"])
def test_mail_arrives_there_as_it_was_sent_and_within_tls(meeting, person, lines, body):
    recipient = meeting.peer.new_user()
    content = letter(person.address, recipient, *lines)
    queue_id = meeting.submit(person, recipient, content, body)
    (arrived,) = meeting.peer.wait_for(recipient)
    assert arrived.endswith(local(content))
    assert bool(meeting.internet.until_tried(queue_id, "sent").tls) == meeting.peer.serves_tls


@pytest.mark.parametrize(("lines", "body"), [(AWKWARD, b""), (EIGHT_BIT, b" BODY=8BITMIME")], ids=["7bit", "8bit"])
def test_mail_arrives_here_as_it_was_sent_and_within_tls(meeting, person, lines, body):
    sender = meeting.peer.new_user()
    content = letter(sender, person.address, *lines)
    meeting.hand(sender, person.address, content, body)
    (arrived,) = person.wait_for()
    assert arrived.endswith(content)
    assert b" with ESMTPS " in arrived.replace(b"\r\n\t", b" ")


def test_large_mail_goes_both_ways(meeting, person, friend):
    recipient = meeting.peer.new_user()
    lines = [b"%075d" % number for number in range(LARGE // 77)]
    out, back = letter(person.address, recipient, *lines), letter(recipient, friend.address, *lines)
    meeting.submit(person, recipient, out)
    meeting.hand(recipient, friend.address, back)
    (arrived,) = meeting.peer.wait_for(recipient)
    assert arrived.endswith(local(out))
    (arrived,) = friend.wait_for()
    assert arrived.endswith(back)


def test_international_mail_goes_there_or_comes_back(meeting, person):
    recipient = f"{INTERNATIONAL}@{meeting.peer.domain}"
    content = letter(person.address, recipient, *EIGHT_BIT, subject="主题".encode())
    before = len(meeting.peer.mail(recipient))
    queue_id = meeting.submit(person, recipient, content, b" BODY=8BITMIME SMTPUTF8")
    if "SMTPUTF8" in meeting.peer.extensions:
        arrived = meeting.peer.wait_for(recipient, before + 1)[-1]
        assert arrived.endswith(local(content))
    else:
        attempt = meeting.internet.until_tried(queue_id, "failed")
        assert (attempt.enhanced, attempt.reply) == (
            "5.6.7",
            "the server does not take international mail (SMTPUTF8)",
        )
        (notice,) = person.wait_for()
        assert b"5.6.7" in notice


def test_international_mail_comes_from_there(meeting, person):
    if "SMTPUTF8" not in meeting.peer.extensions:
        with Smtp(meeting.peer.port) as smtp:
            assert b"SMTPUTF8" not in smtp.capabilities
        return
    sender = f"{INTERNATIONAL}@{meeting.peer.domain}"
    content = letter(sender, person.address, *EIGHT_BIT, subject="主题".encode())
    meeting.hand(sender, person.address, content, b" BODY=8BITMIME SMTPUTF8")
    (arrived,) = person.wait_for()
    assert arrived.endswith(content)
    assert arrived.startswith(b"Return-Path: <" + sender.encode())
    assert b" with UTF8SMTPS " in arrived.replace(b"\r\n\t", b" ")


def test_exim_pipelines_to_us_and_sends_in_chunks_and_we_pipeline_to_it(meetings, strangers, person):
    meeting = meetings("exim")
    user = meeting.peer.new_user()
    meeting.hand(user, person.address, letter(user, person.address, b"to us"))
    person.wait_for()
    meeting.submit(person, user, letter(person.address, user, b"to it"))
    meeting.peer.wait_for(user)
    lines = until(lambda: [line for line in meeting.peer.log().splitlines() if f"=> {person.address}" in line])
    assert " L " in lines[0], lines
    assert " K " in lines[0], lines
    (taken,) = [line for line in meeting.peer.log().splitlines() if f"<= {person.address}" in line]
    assert " L. " in taken, taken  # pipelined, but not before our greeting


def test_exim_that_closes_its_side_with_the_last_message_hears_that_we_have_it(internet):
    person, other = next(internet.server.unused), next(internet.server.unused)
    with Exim("clear.test", {"example.test": f"clear:{internet.server.ports['smtp']}"}) as exim:
        content = letter("x@clear.test", person.address, b"once")
        for _ in range(5):
            exim.inject("x@clear.test", person.address, content)
            exim.inject("x@clear.test", other.address, content)
        until(lambda: exim.log().count("Completed") == 10)
        assert " K " in exim.log()
        assert " X=TLS" not in exim.log()
    assert len(person.mail()) == len(other.mail()) == 5


# -- TLS -------------------------------------------------------------------------------------------------------------


def test_a_valid_certificate_there_is_verified(meeting, person):
    recipient = meeting.peer.new_user().replace("@", "@verified.")
    queue_id = meeting.submit(person, recipient, letter(person.address, recipient, b"x"))
    if meeting.peer.serves_tls:
        assert len(meeting.peer.wait_for(recipient)) == 1
        assert meeting.internet.until_tried(queue_id, "sent").tls.endswith("proved by its certificate")
    else:
        attempt = meeting.internet.until_tried(queue_id, "deferred")
        assert attempt.reply.startswith("lost connection while starting TLS: TLS: ")
        assert meeting.peer.mail(recipient) == []


def test_our_certificate_is_verified_there(meeting, strangers):
    person, sender = next(strangers["verified"]), meeting.peer.new_user()
    meeting.hand(sender, person.address, letter(sender, person.address, b"x"))
    (arrived,) = person.wait_for()
    assert b" with ESMTPS " in arrived.replace(b"\r\n\t", b" ")


WORDS = {
    "expired": "the certificate has expired",
    "misnamed": "the certificate is for another name than {host}",
    "selfsigned": "the certificate is self-signed",
}


@pytest.mark.parametrize("kind", ["postfix", "exim"])
def test_mail_waits_where_a_valid_certificate_is_required_and_another_is_shown(meetings, strangers, person, kind):
    meeting = meetings(kind)
    people = {broken: meeting.peer.new_user().replace("@", f"@{broken}.") for broken in BROKEN}
    sent = {
        broken: meeting.submit(person, recipient, letter(person.address, recipient, b"x"))
        for broken, recipient in people.items()
    }
    for broken, recipient in people.items():
        attempt = meeting.internet.until_tried(sent[broken], "deferred")
        assert (attempt.enhanced, attempt.reply) == ("4.7.5", WORDS[broken].format(host=f"mx.{kind}.test"))
        assert meeting.peer.mail(recipient) == []
    # Encryption with anybody is better than none.
    meeting.internet.loosen_routes([f"{broken}.{meeting.peer.domain}" for broken in BROKEN])
    for broken, recipient in people.items():
        assert len(meeting.peer.wait_for(recipient)) == 1
        assert meeting.internet.until_tried(sent[broken], "sent").tls.startswith("TLS")


# -- Delivery status notifications -----------------------------------------------------------------------------------

ENVID, ORCPT = b" ENVID=my+2Benvelope RET=HDRS", b" ORCPT=rfc822;first+2Dname@example.net"


def report(content):
    """The two groups of fields of a notice that hold the outcome."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert message.get_param("report-type") == "delivery-status", content
    status = next(part for part in message.walk() if part.get_content_type() == "message/delivery-status")
    return status.get_payload()[:2]


def honoured(content, action):
    about_message, about_recipient = report(content)
    # Exim gives it back as it came, in xtext.
    assert about_message["Original-Envelope-Id"].replace("+2B", "+") == "my+envelope"
    assert about_recipient["Original-Recipient"].replace(" ", "") == "rfc822;first-name@example.net"
    assert about_recipient["Action"] == action
    return about_recipient


def test_success_is_told_by_the_peer(meeting, person):
    recipient = meeting.peer.new_user()
    content = letter(person.address, recipient, b"x")
    meeting.submit(person, recipient, content, ENVID, ORCPT + b" NOTIFY=SUCCESS")
    (notice,) = person.wait_for()
    assert notice.startswith(b"Return-Path: <>\r\n")
    assert recipient.encode() in notice
    if meeting.peer.reports:
        honoured(notice, "delivered")
    meeting.peer.wait_for(recipient)


def test_success_is_not_told_to_who_has_not_logged_in_here(meeting, person):
    sender = meeting.peer.new_user()
    content = letter(sender, person.address, b"x")
    meeting.hand(sender, person.address, content, ENVID, ORCPT + b" NOTIFY=SUCCESS")
    person.wait_for()
    answer = letter(person.address, sender, b"after")
    meeting.submit(person, sender, answer)
    (arrived,) = meeting.peer.wait_for(sender)
    assert arrived.endswith(local(answer))


def test_failure_there_is_told_by_us(meeting, person):
    recipient = f"nobody@{meeting.peer.domain}"
    meeting.submit(person, recipient, letter(person.address, recipient, b"x"), ENVID, ORCPT)
    (notice,) = person.wait_for()
    about = honoured(notice, "failed")
    assert about["Status"].startswith("5.")
    assert about["Diagnostic-Code"].startswith("smtp; 5")


def test_failure_here_is_told_by_the_peer_in_our_words(meeting):
    sender, recipient = meeting.peer.new_user(), "nobody@example.test"
    meeting.hand(sender, recipient, letter(sender, recipient, b"x"), ENVID, ORCPT)
    (notice,) = meeting.peer.wait_for(sender)
    assert b"No such mailbox here" in notice


def test_who_wants_no_notice_gets_none_from_either(meeting, person):
    sender, recipient = meeting.peer.new_user(), f"nobody@{meeting.peer.domain}"
    meeting.hand(sender, "nobody@example.test", letter(sender, recipient, b"x"), rcpt=b" NOTIFY=NEVER")
    queue_id = meeting.submit(person, recipient, letter(person.address, recipient, b"x"), rcpt=b" NOTIFY=NEVER")
    meeting.internet.until_tried(queue_id, "failed")
    # What is sent after it arrives, and it does not.
    meeting.hand(sender, person.address, letter(sender, person.address, b"after"))
    person.wait_for()
    meeting.submit(person, sender, letter(person.address, sender, b"after"))
    assert len(meeting.peer.wait_for(sender)) == 1
    assert len(person.mail()) == 1


def test_delay_is_told_by_us(meetings, strangers, person):
    meeting = meetings("exim")  # one is enough: it is our notice
    recipient = f"grey0@{meeting.peer.domain}"
    content = letter(person.address, recipient, b"x")
    meeting.submit(person, recipient, content, ENVID, ORCPT + b" NOTIFY=DELAY,FAILURE")
    (notice,) = person.wait_for()
    about = honoured(notice, "delayed")
    assert about["Status"].startswith("4.")
    assert about["Will-Retry-Until"]
    meeting.peer.open_door("grey0")
    assert len(meeting.peer.wait_for(recipient)) == 1


# -- What goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("door", "words"), [("grey1", "Greylisted"), ("closing1", "Closing for a while")])
def test_who_is_told_to_come_back_comes_back(meeting, person, door, words):
    if door == "closing1" and isinstance(meeting.peer, Exim):
        door = "grey2"  # it has no way to say 421 there
        words = "Greylisted"
    recipient = f"{door}@{meeting.peer.domain}"
    content = letter(person.address, recipient, b"x")
    queue_id = meeting.submit(person, recipient, content)
    assert words in meeting.internet.until_tried(queue_id, "deferred").reply
    meeting.peer.open_door(door)
    (arrived,) = meeting.peer.wait_for(recipient)
    assert arrived.endswith(local(content))
    meeting.internet.until_tried(queue_id, "sent")


def test_what_is_cut_on_the_way_there_is_not_lost(meeting, person):
    people = {what: meeting.peer.new_user().replace("@", "@cut.") for what in BREAKS}
    meeting.outwards.plan.update({recipient: what for what, recipient in people.items()})
    contents = {what: letter(person.address, recipient, *AWKWARD) for what, recipient in people.items()}
    sent = [meeting.submit(person, people[what], contents[what]) for what in BREAKS]
    for queue_id in sent:
        meeting.internet.until_tried(queue_id, "sent")
    arrived = {what: meeting.peer.wait_for(recipient) for what, recipient in people.items()}
    assert meeting.outwards.plan == {}
    all_is_there(arrived, {what: local(content) for what, content in contents.items()})
    assert person.mail() == []


def test_what_is_cut_on_the_way_here_is_not_lost(meeting, strangers):
    # OpenSMTPD rests for five seconds after each.
    breaks = (LOSE_REPLY,) if isinstance(meeting.peer, OpenSmtpd) else BREAKS
    people = {what: next(strangers["cut"]) for what in breaks}
    meeting.inwards.plan.update({one.address: what for what, one in people.items()})
    sender = meeting.peer.new_user()
    contents = {what: letter(sender, one.address, *AWKWARD) for what, one in people.items()}
    for what in breaks:
        meeting.hand(sender, people[what].address, contents[what])

    # Twice comes the one whose first was not confirmed.
    wanted = {what: 2 if what == LOSE_REPLY else 1 for what in people}

    def come():
        meeting.peer.retry()  # again and again: it may not know yet that there is something to try again
        return all(len(one.mail()) >= wanted[what] for what, one in people.items())

    until(come)
    all_is_there({what: one.wait_for(wanted[what]) for what, one in people.items()}, contents)
    assert meeting.peer.mail(sender) == []


def all_is_there(arrived, contents):
    """Each once, and at most twice where the answer to it was lost (RFC 1047)."""
    for what, copies in arrived.items():
        assert len(copies) == 1 or (what == LOSE_REPLY and len(copies) == 2), (what, len(copies))
        assert all(copy.endswith(contents[what]) for copy in copies), what


# -- What comes back ---------------------------------------------------------------------------------------------------

TRACKED = """
from domains.models import Domain
Domain.objects.filter(name="letters.test").update(track_bounces=True)
"""
RETURNED = """
import json
from a3mailer_site.ids import from_text
from mailqueue.models import MessageEvent, Suppression
found = MessageEvent.objects.filter(message=from_text({queue_id!r}), kind="returned").values_list("detail", flat=True)
print(json.dumps([list(found), list(Suppression.objects.values_list("domain", "address", "reason"))]))
"""


def test_what_a_real_server_sends_back_later_is_known_by_its_return_path(meetings, strangers):
    meeting = meetings("postfix")
    server = meeting.server
    server.manage("adddomain", "letters.test")
    server.manage("shell", "--no-imports", "-c", ADD_PEOPLE, stdin=json.dumps([PASSWORD, ["news@letters.test"]]))
    server.manage("shell", "--no-imports", "-c", TRACKED)
    news = Person(server, "news@letters.test")
    recipient = f"moved@{meeting.peer.domain}"
    queue_id = meeting.submit(news, recipient, letter(news.address, recipient, b"hello"))
    meeting.internet.until_tried(queue_id, "sent")
    (notice,) = news.wait_for()
    assert b"Return-Path: <>" in notice
    told = server.manage("shell", "--no-imports", "-c", RETURNED.format(queue_id=queue_id))
    (detail,), suppressed = json.loads(told.splitlines()[-1])
    assert (detail["proved"], detail["action"], detail["enhanced"]) == (True, "failed", "5.1.1")
    assert detail["host"] == f"mx.{meeting.peer.domain}"
    assert suppressed == [["letters.test", recipient, "bounce"]]
    with news.submission() as smtp:
        assert smtp.envelope(news.address).startswith(b"250")
        assert smtp.say(b"RCPT TO:<%s>" % recipient.encode()).startswith(b"550 5.7.1 ")
