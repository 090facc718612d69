"""A mailbox store in a few lines, to answer a session's questions by what IMAP says they mean; and a client."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from a3mailer_site.number_sets import runs
from mailcore.dialogue import Ask, Close, Login, Peer, Send, StartDeflate, StartTls, StopDeflate, TlsFacts
from mailcore.imap import questions as q
from mailcore.imap.sections import Cutter, decode_window, window_length
from mailcore.imap.session import ImapSession
from mailcore.imap.talk import Policy
from mailcore.message import imapform
from mailcore.message.summary import summarize
from mailcore.message.text import preview
from mailcore.sasl.questions import LoginRefusal, VerifyPassword
from mailcore.store import criteria, keywords
from mailcore.store.flags import DELETED, SEEN
from mailcore.store.refusals import LimitError
from mailcore.store.snapshot import build
from mailcore.store.sort_keys import SortKey

MESSAGE = (
    b"From: Ann <ann@example.com>\r\nTo: bob@example.com\r\nSubject: lunch\r\n"
    b"Date: Mon, 1 Jan 2024 10:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n\r\nAt noon?\r\n"
)
MIXED = (
    b"From: ann@example.com\r\nSubject: two parts\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="x"\r\n\r\npreamble\r\n--x\r\nContent-Type: text/plain\r\n\r\none\r\n'
    b"--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ntwo\r\n--x--\r\n"
)


# The model's clock stands still, in seconds since 1970.
NOW = 1_000_000_000


class Body:
    """What takes an APPEND."""

    def __init__(self):
        self.data = b""
        self.abandoned = False

    @property
    def size(self):
        return len(self.data)

    def write(self, data):
        self.data += data

    def abandon(self):
        self.abandoned = True


class Mailbox:
    """Messages by UID: [flags, keywords text, modseq, date, bytes]."""

    def __init__(self, mailbox, name, special_use=""):
        self.mailbox = mailbox
        self.name = name
        self.special_use = special_use
        self.messages = {}
        self.vanished = []  # (modseq, uid)
        self.history = 0  # what was expunged up to this MODSEQ is forgotten
        self.uidnext = 1
        self.modseq = 1
        self.uidvalidity = 1000 + mailbox
        self.first_recent = 1

    def add(self, data=MESSAGE, flags=0, words="", date=0):
        self.modseq += 1
        uid = self.uidnext
        self.uidnext += 1
        self.messages[uid] = [flags, words, self.modseq, date, data]
        return uid

    def remove(self, uids):
        uids = [uid for uid in sorted(uids) if uid in self.messages]
        if uids:
            self.modseq += 1
        for uid in uids:
            del self.messages[uid]
            self.vanished.append((self.modseq, uid))
        return uids

    def flag(self, uids, mode, flags, words=(), unchanged_since=None):
        rows, failed = [], []
        modseq = self.modseq + 1
        for uid in sorted(uids):
            message = self.messages.get(uid)
            if message is None:
                continue
            if unchanged_since is not None and message[2] > unchanged_since:
                failed.append(uid)
                continue
            old, text = message[0], message[1]
            if mode is q.StoreMode.ADD:
                new = old | flags, keywords.added(text, words)
            elif mode is q.StoreMode.REMOVE:
                new = old & ~flags, keywords.removed(text, words)
            else:
                new = flags, keywords.replaced(text, words)
            if new != (old, text):
                self.modseq = message[2] = modseq
                message[0], message[1] = new
            rows.append((uid, message[0], keywords.split(message[1]), message[2]))
        return q.Stored(rows, failed)

    def snapshot(self):
        rows = [(uid, m[0], m[1], m[2]) for uid, m in sorted(self.messages.items())]
        return build(rows, self.modseq, self.uidvalidity, self.uidnext)

    def row(self, subscribed):
        unseen = sum(1 for m in self.messages.values() if not m[0] & SEEN)
        recent = sum(1 for uid in self.messages if uid >= self.first_recent)
        size = sum(len(m[4]) for m in self.messages.values())
        counters = (len(self.messages), unseen, recent, self.uidnext, self.uidvalidity, self.modseq, size)
        return q.MailboxRow(self.mailbox, self.name, self.special_use, self.name in subscribed, *counters)


def method_of(kind):
    """What a store's method for this kind of question is called."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", kind.__name__).lower()


class Store:
    """One account's mailboxes; ``answer`` takes any question of a session."""

    def __init__(self, *names):
        self.asked = []
        self.boxes = {}
        self.subscribed = set()
        self.next = 1
        self.refuse = {}  # question type: what it is answered
        self.answer_limit = 1000
        self.annotations = {}  # entries and versions, by mailbox
        for name in ("INBOX", *names):
            self.make(name)

    def make(self, name, special_use=""):
        box = self.boxes[name] = Mailbox(self.next, name, special_use)
        self.next += 1
        return box

    @property
    def inbox(self):
        return self.boxes["INBOX"]

    def by_key(self, key):
        assert key.account == 7
        return next((box for box in self.boxes.values() if box.mailbox == key.mailbox), None)

    def answer(self, question):
        self.asked.append(question)
        kind = type(question)
        if kind in self.refuse:
            return self.refuse[kind]
        if getattr(question, "account", 7) not in {7, 0}:
            raise AssertionError("another account's question")
        return getattr(self, method_of(kind))(question)

    def verify_password(self, question):
        if question.password == "later":
            return LoginRefusal.LATER
        return Login(7, "bob") if (question.login, question.password) == ("bob", "secret") else LoginRefusal.WRONG

    def list_mailboxes(self, question):
        orphans = self.subscribed - self.boxes.keys()
        return q.Mailboxes([box.row(self.subscribed) for box in self.boxes.values()], sorted(orphans))

    def status(self, question):
        box = self.boxes.get(question.name)
        return box.row(self.subscribed) if box else q.Refused.NO_SUCH_MAILBOX

    def create_mailbox(self, question):
        if question.name in self.boxes:
            return q.Refused.MAILBOX_EXISTS
        if not all(question.name.split("/")):
            return q.Refused.NAME_NOT_ALLOWED
        return self.make(question.name, question.special_use).mailbox

    def delete_mailbox(self, question):
        box = self.boxes.pop(question.name, None)
        return box.mailbox if box else q.Refused.NO_SUCH_MAILBOX

    def rename_mailbox(self, question):
        if question.old_name not in self.boxes:
            return q.Refused.NO_SUCH_MAILBOX
        box = self.boxes.pop(question.old_name)
        box.name = question.new_name
        self.boxes[question.new_name] = box
        return None

    def subscribe(self, question):
        if not question.subscribed:
            self.subscribed.discard(question.name)
        elif question.name not in self.boxes:
            return q.Refused.NO_SUCH_MAILBOX
        else:
            self.subscribed.add(question.name)
        return None

    def open_mailbox(self, question):
        box = self.boxes.get(question.name)
        if box is None:
            return q.Refused.NO_SUCH_MAILBOX
        return q.Opened(q.MailboxKey(7, box.mailbox), box.snapshot(), self._claim(box, question.read_only))

    def _claim(self, box, read_only):
        first = box.first_recent
        if not read_only:
            box.first_recent = box.uidnext
        return first

    def watch_account(self, question):
        return None

    def read_annotations(self, question):
        return {mailbox: dict(self.annotations.get(mailbox, {})) for mailbox in (0, *question.mailboxes)}

    def close_mailbox(self, question):
        return None

    def read_changes(self, question):
        box = self.by_key(question.key)
        if box is None:
            return q.Refused.NO_SUCH_MAILBOX
        updated = [uid for uid, message in sorted(box.messages.items()) if message[2] > question.since]
        vanished = sorted(uid for modseq, uid in box.vanished if modseq > question.since)
        return q.Changes(box.snapshot(), updated, vanished, self._claim(box, question.read_only))

    def read_vanished(self, question):
        box = self.by_key(question.key)
        if question.since < box.history:
            return None
        return list(runs(sorted(uid for modseq, uid in box.vanished if question.since < modseq <= question.until)))

    def fetch_messages(self, question):
        assert isinstance(question.uids, Sequence)
        assert len(question.uids) <= 1000
        box = self.by_key(question.key)
        rows = []
        done = min(self.answer_limit, len(question.uids))
        for uid in question.uids[:done]:
            if uid not in box.messages:
                continue
            _, _, _, date, data = box.messages[uid]
            summary, cutter = summarize(data), Cutter(data)
            rows.append(
                (
                    uid,
                    len(data),
                    date,
                    summary.envelope if question.envelope else None,
                    summary.bodystructure if question.structure else None,
                    imapform.body(cutter.root) if question.plain_structure else None,
                    summary.fields if question.headers else None,
                    tuple(cutter.cut(section) for section in question.sections),
                    preview(data).encode() if question.preview else None,
                )
            )
        return q.Fetched(rows, done)

    def read_origins(self, question):
        box = self.by_key(question.key)
        return [self._origin(uid, box) for uid in question.uids if uid in box.messages]

    def _origin(self, uid, box):
        data = box.messages[uid][4]
        return q.OriginRow(uid, b"M%d" % len(data), b"T%d" % len(data), 1_700_000_000)

    def find_origins(self, question):
        box = self.by_key(question.key)
        rows = [self._origin(uid, box) for uid in question.uids if uid in box.messages]
        day = datetime.fromtimestamp(1_700_000_000, UTC).date()
        fits = {
            q.OriginKey.EMAIL: lambda row: row.email_id == question.text.encode(),
            q.OriginKey.THREAD: lambda row: row.thread_id == question.text.encode(),
            q.OriginKey.SAVED_BEFORE: lambda row: day < question.day,
            q.OriginKey.SAVED_ON: lambda row: day == question.day,
            q.OriginKey.SAVED_SINCE: lambda row: day >= question.day,
        }[question.what]
        return [row.uid for row in rows if fits(row)]

    def read_body(self, question):
        message = self.by_key(question.key).messages.get(question.uid)
        if message is None:
            return q.Refused.EXPUNGED
        return message[4][question.offset : question.offset + question.length]

    def read_decoded(self, question):
        message = self.by_key(question.key).messages.get(question.uid)
        if message is None:
            return q.Refused.EXPUNGED
        offset = question.place.offset
        window = message[4][offset : offset + window_length(question.place, question.end)]
        return q.Decoded(*decode_window(window, question.encoding, question.place, question.end))

    def store_flags(self, question):
        try:
            return self.by_key(question.key).flag(
                question.uids, question.mode, question.flags, question.keywords, question.unchanged_since
            )
        except LimitError:
            return q.Refused.LIMIT

    def expunge(self, question):
        box = self.by_key(question.key)
        wanted = [uid for uid, message in box.messages.items() if message[0] & DELETED]
        if question.uids is not None:
            wanted = [uid for uid in wanted if uid in question.uids]
        return q.Expunged(box.remove(wanted), box.modseq)

    def copy_messages(self, question):
        source, target = self.by_key(question.source), self.boxes.get(question.target)
        if target is None:
            return q.Refused.TRY_CREATE
        uids = [uid for uid in question.uids if uid in source.messages]
        made = []
        for uid in uids:
            flags, words, _, date, data = source.messages[uid]
            made.append(target.add(data, flags, words, date))
        if question.move:
            source.remove(uids)
        return q.Copied(target.uidvalidity, uids, made)

    def check_append(self, question):
        return None if question.name in self.boxes else q.Refused.TRY_CREATE

    def append_messages(self, question):
        box = self.boxes.get(question.name)
        for message in question.messages:
            message.body.abandon()
        if box is None:
            return q.Refused.TRY_CREATE
        uids = [
            box.add(m.body.data, m.flags, keywords.added("", m.keywords), m.internal_date or 0)
            for m in question.messages
        ]
        return q.Appended(box.uidvalidity, uids)

    def replace_message(self, question):
        box, source = self.boxes.get(question.name), self.by_key(question.key)
        question.message.body.abandon()
        if box is None:
            return q.Refused.TRY_CREATE
        if question.uid not in source.messages:
            return q.Refused.EXPUNGED
        message = question.message
        words = keywords.added("", message.keywords)
        uid = box.add(message.body.data, message.flags, words, message.internal_date or 0)
        source.remove([question.uid])
        return q.Appended(box.uidvalidity, [uid])

    def find_mailbox(self, question):
        box = self.boxes.get(question.name)
        if box is None or question.uidvalidity not in {None, box.uidvalidity}:
            return q.Refused.NO_SUCH_MAILBOX
        return q.MailboxKey(7, box.mailbox)

    def search_messages(self, question):
        box = self.by_key(question.key)
        return [uid for uid in question.uids if uid in box.messages and fulfils(question.criterion, uid, box)]

    def forget_login(self, question):
        return None

    def sort_messages(self, question):
        box = self.by_key(question.key)
        uids = [uid for uid in question.uids if uid in box.messages]
        for criterion in reversed(question.criteria):
            uids.sort(key=lambda uid: sort_value(criterion.key, box.messages[uid]), reverse=criterion.reverse)
        return uids

    def thread_messages(self, question):
        box = self.by_key(question.key)
        return b"".join(
            b"(%d)" % name for uid, name in zip(question.uids, question.names, strict=True) if uid in box.messages
        )

    def read_mailbox(self, question):
        box = self.boxes.get(question.name)
        if box is None:
            return q.Refused.NO_SUCH_MAILBOX
        return q.Opened(q.MailboxKey(7, box.mailbox), box.snapshot(), box.first_recent)

    def pause(self, question):
        return None


def sort_value(key, message):
    """What a message is sorted by, for the keys that tests of the session use."""
    _, _, _, date, data = message
    match key:
        case SortKey.SIZE:
            return len(data)
        case SortKey.ARRIVAL:
            return date
        case SortKey.SUBJECT:
            return re.search(rb"Subject: ([^\r]*)", data)[1].upper()
    raise AssertionError(key)


def fulfils(criterion, uid, box):
    """Evaluate a criterion in the plainest way."""
    _, _, _, date, data = box.messages[uid]
    match criterion:
        case criteria.And(keys):
            return all(fulfils(key, uid, box) for key in keys)
        case criteria.Or(keys):
            return any(fulfils(key, uid, box) for key in keys)
        case criteria.Not(key):
            return not fulfils(key, uid, box)
        case criteria.UidIn(uids):
            return uid in uids
        case criteria.Larger(octets):
            return len(data) > octets
        case criteria.Smaller(octets):
            return len(data) < octets
        case criteria.Contains(_, text):
            return text.lower().encode() in data.lower()
        case criteria.HeaderContains(name, text) | criteria.AddressContains(name, text):
            header = data.partition(b"\r\n\r\n")[0].lower()
            lines = [line.partition(b":")[2] for line in header.split(b"\r\n") if line.startswith(name.encode() + b":")]
            return any(text.lower().encode() in line for line in lines)
        case criteria.Younger(seconds):
            return date >= NOW - seconds
        case criteria.Arrived(comparison, day):
            own = datetime.fromtimestamp(date, UTC).date()
            return {"before": own < day, "on": own == day, "since": own >= day}[comparison.value]
    raise AssertionError(criterion)


class Client:
    """Feeds a session bytes, answers what it asks from the store, and keeps what it says."""

    def __init__(self, store=None, *, policy=None, peer=None, log_in=True, select=None, answers=True):
        self.store = store or Store()
        self.bodies = []
        policy = policy or Policy(plaintext_auth_ok=True, tls_available=True, message_limit=100_000)
        self.session = ImapSession(policy, peer or Peer("192.0.2.1", 4711), self.new_body)
        self.said = b""
        self.closed = False
        self.tls = 0
        self.layers = []  # StartDeflate and StopDeflate, each with what was said before it
        self.answers = answers
        self.pending = None
        self.take(self.session.greet())
        self.greeting = self.read()
        if log_in:
            self.do(b"0 LOGIN bob secret")
        if select:
            self.do(b"0 SELECT " + select)

    def new_body(self):
        self.bodies.append(Body())
        return self.bodies[-1]

    def take(self, actions):
        for action in actions:
            assert not self.closed, "an action after Close"
            match action:
                case Send(data):
                    self.said += data
                case Close():
                    self.closed = True
                case StartTls():
                    self.tls += 1
                    self.take(self.session.tls_started(TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384")))
                case StartDeflate() | StopDeflate():
                    self.layers.append((type(action), self.said))
                case Ask(question):
                    self.pending = question
                    if self.answers:
                        self.answer_now()

    def answer_now(self):
        question, self.pending = self.pending, None
        answer = self.store.answer(question)
        if isinstance(answer, Exception):
            self.take(self.session.failed(answer))
        else:
            self.take(self.session.answer(answer))

    def send(self, data):
        """Give octets, in whatever cut; after Close nothing is given, as the transport does."""
        if not self.closed:
            self.take(self.session.receive(data))
        return self

    def ring(self, box=None):
        self.take(self.session.notice(q.MailboxChanged((box or self.store.inbox).mailbox)))
        return self.read()

    def read(self):
        said, self.said = self.said, b""
        return said

    def do(self, line):
        """Send a line; return everything said in answer."""
        return self.send(line + b"\r\n").read()


def asked(client, kind):
    """The questions of one kind."""
    return [question for question in client.store.asked if isinstance(question, kind)]


__all__ = ["MESSAGE", "MIXED", "Body", "Client", "Mailbox", "Store", "VerifyPassword", "asked"]
