"""RFC 9051 section 9 and RFC 3501 section 9, rule by rule: what each rule takes, and what it does not."""

import re
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imap_model import Client, Store, method_of

from mailcore.dialogue import Question
from mailcore.imap import questions as q
from mailcore.imap.grammar import MODSEQ_LIMIT, Parser, SyntaxRefusedError
from mailcore.imap.sequences import STAR
from mailcore.imap.session import COMMANDS
from mailcore.store.refusals import LimitError

# Rule, method, text, value; what is left must be nothing.
TAKEN = [
    ("tag", "tag", b"a1", b"a1"),
    ("tag", "tag", b"]~!#&'", b"]~!#&'"),
    ("atom", "atom", b"BODY.PEEK[", b"BODY.PEEK["),
    ("atom", "atom", b"a+b", b"a+b"),
    ("astring", "astring", b"a]b", b"a]b"),
    ("astring", "astring", b"NIL", b"NIL"),
    ("astring", "astring", b'""', b""),
    ("astring", "astring", b'"a b(){%*]"', b"a b(){%*]"),
    ("astring", "astring", b'"\\\\\\""', b'\\"'),
    ("quoted", "string", b'"\x01\x7f\t"', b"\x01\x7f\t"),
    ("quoted", "string", b'"\xc3\xa9\xe6\x96\x87\xf0\x9f\x93\xa7"', "é文📧".encode()),
    ("nstring", "nstring", b"NIL", None),
    ("nstring", "nstring", b"nil", None),
    ("nstring", "nstring", b'"NIL"', b"NIL"),
    ("number", "number", b"0", 0),
    ("number", "number", b"007", 7),
    ("number", "number", b"00000000000004294967295", 4294967295),
    ("mailbox", "mailbox", b"iNbOx", "INBOX"),
    ("mailbox", "mailbox", b'"inbox"', "INBOX"),
    ("mailbox", "mailbox", b"inbox/a", "INBOX/a"),
    ("mailbox", "mailbox", b"inboxes", "inboxes"),
    ("mailbox", "mailbox", b"NIL", "NIL"),
    ("mailbox", "mailbox", b"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
    ("mailbox", "mailbox", b"../../etc/passwd", "../../etc/passwd"),
    ("list-mailbox", "list_mailbox", b"%", "%"),
    ("list-mailbox", "list_mailbox", b"a*%]", "a*%]"),
    ("list-mailbox", "list_mailbox", b'"a b"', "a b"),
    ("list-mailbox", "list_mailbox", b'""', ""),
    ("flag-list", "flag_list", b"()", (0, ())),
    ("flag-keyword", "keyword", b"$NotJunk", "$NotJunk"),
    ("flag", "flag", b"NonJunk", "NonJunk"),
    ("date", "date", b"1-jan-2024", None),
    ("date", "date", b'"01-Jan-2024"', None),
    ("date-time", "date_time", b'" 1-JAN-1970 00:00:00 +0000"', 0),
    ("date-time", "date_time", b'"01-Jan-1970 00:00:60 -0000"', 59),
    ("date-time", "date_time", b'"01-Jan-1970 05:30:00 +0530"', 0),
    ("sequence-set", "sequence_set", b"*", ((STAR, STAR),)),
    ("sequence-set", "sequence_set", b"2:4,*:1,7", ((2, 4), (STAR, 1), (7, 7))),
    ("sequence-set", "sequence_set", b"4294967295:*", ((4294967295, STAR),)),
]
REFUSED = [
    ("tag", "tag", b""),
    ("tag", "tag", b"a+b"),
    ("tag", "tag", b"a b"),
    ("tag", "tag", b'a"'),
    ("tag", "tag", b"a%"),
    ("tag", "tag", b"a\x7f"),
    ("tag", "tag", b"\xc3\xa9"),
    ("atom", "atom", b""),
    ("atom", "atom", b"a]"),
    ("atom", "atom", b"a*"),
    ("atom", "atom", b"a\\"),
    ("atom", "atom", b'"a"'),
    ("astring", "astring", b""),
    ("astring", "astring", b"(a)"),
    ("astring", "astring", b"a{"),
    ("astring", "astring", b"a\x00"),
    ("astring", "astring", b"\xc3\xa9"),
    ("quoted", "string", b'"a'),
    ("quoted", "string", b'"a\rb"'),
    ("quoted", "string", b'"a\nb"'),
    ("quoted", "string", b'"a\x00b"'),
    ("quoted", "string", b'"\\a"'),
    ("quoted", "string", b'"\xc3"'),
    ("quoted", "string", b'"\xc0\xaf"'),
    ("quoted", "string", b'"\xed\xa0\x80"'),
    ("quoted", "string", b'"\xf4\x90\x80\x80"'),
    ("string", "string", b"NIL"),
    ("nstring", "nstring", b"NILS"),
    ("nstring", "nstring", b"a"),
    ("number", "number", b"+1"),
    ("number", "number", b"1.0"),
    ("number", "number", b"1e3"),
    ("number", "number", b"\xd9\xa1"),
    ("number", "number", b"00000000000004294967296"),
    ("list-mailbox", "list_mailbox", b"(a)"),
    ("list-mailbox", "list_mailbox", b""),
    ("mailbox", "mailbox", b"a*"),
    ("mailbox", "mailbox", b"&Jjo!"),
    ("mailbox", "mailbox", b"&U,BTFw-&ZeVnLIqe-"),
    ("mailbox", "mailbox", b"&AC8ALgAu-"),  # "/.." that looks like nothing of the kind
    ("mailbox", "mailbox", b"&2AA-"),
    ("mailbox", "mailbox", b'"a\x01b"'),
    ("mailbox", "mailbox", b'"\xc2\x85"'),
    ("flag-list", "flag_list", b"( )"),
    ("flag-list", "flag_list", b"(\\Seen,\\Draft)"),
    ("flag", "flag", b"\\*"),
    ("flag", "flag", b"a]"),
    ("date", "date", b"001-Jan-2024"),
    ("date", "date", b"1-Jan-24"),
    ("date", "date", b"1/Jan/2024"),
    ("date", "date", b"29-Feb-2023"),
    ("date-time", "date_time", b'"1-Jan-2024 00:00:00 +0000"'),
    ("date-time", "date_time", b'"01-Jan-2024 00:00 +0000"'),
    ("date-time", "date_time", b'"01-Jan-2024 00:00:61 +0000"'),
    ("date-time", "date_time", b'"01-Jan-2024 00:60:00 +0000"'),
    ("date-time", "date_time", b'"01-Jan-2024 00:00:00 0000"'),
    ("date-time", "date_time", b'"01-Jan-2024 00:00:00 +0060"'),
    ("date-time", "date_time", b'"01-Jan-2024 00:00:00 GMT"'),
    ("date-time", "date_time", b'"01-Jan-0000 00:00:00 +0000"'),
    ("sequence-set", "sequence_set", b""),
    ("sequence-set", "sequence_set", b"01"),
    ("sequence-set", "sequence_set", b"1,"),
    ("sequence-set", "sequence_set", b"1:"),
    ("sequence-set", "sequence_set", b"1:2:3"),
    ("sequence-set", "sequence_set", b"1 ,2"),
    ("sequence-set", "sequence_set", b"-1"),
]


@pytest.mark.parametrize(("rule", "method", "text", "value"), TAKEN)
def test_a_rule_takes_what_it_says(rule, method, text, value):
    parser = Parser(text)
    taken = getattr(parser, method)()
    assert parser.is_done, rule
    assert rule == "date" or taken == value


@pytest.mark.parametrize(("rule", "method", "text"), REFUSED)
def test_a_rule_takes_nothing_else(rule, method, text):
    def read():
        parser = Parser(text)
        getattr(parser, method)()
        parser.end()

    with pytest.raises(SyntaxRefusedError):
        read()


@pytest.mark.parametrize("text", [b"0", b"01", b"-1", b"", b"9223372036854775808"])
def test_nz_number64_has_neither_zero_nor_zeros_in_front(text):
    with pytest.raises(SyntaxRefusedError):
        Parser(text).number(least=1, most=MODSEQ_LIMIT)


def test_number64_ends_where_it_ends():
    assert Parser(b"9223372036854775807").number(least=1, most=MODSEQ_LIMIT) == MODSEQ_LIMIT


@pytest.mark.parametrize(
    "line",
    [
        b" a NOOP",
        b"a\tNOOP",
        b"a NOOP\r",
        b"a NOOP\n",
        b"a NO\x00OP",
        b'a "NOOP"',
        b"a {4+}\r\nNOOP",
        b"a UID NOOP",
        b"a UID  FETCH 1 FLAGS",
        b"a FETCH  1 FLAGS",
        b"a FETCH 1 (FLAGS  UID)",
        b"a FETCH 1 (FLAGS UID )",
        b"a FETCH 1 FLAGS,UID",
        b"a FETCH 1 BODY [TEXT]",
        b"a FETCH 1 BODY[ TEXT]",
        b"a FETCH 1 BODY[TEXT]<1>",
        b"a FETCH 1 BODY[TEXT]<-1.1>",
        b"a STORE 1 FLAGS ()x",
        b"a STORE 1 +FLAGS(\\Seen)",
        b"a SEARCH (SEEN",
        b"a SEARCH SEEN)",
        b"a SEARCH SEEN,UNSEEN",
        b"a COPY 1 {3}x",
        b"a STATUS INBOX (MESSAGES, UNSEEN)",
        b"a LIST () ()",
        b'a LIST "" () RETURN ()',
    ],
)
def test_spaces_and_punctuation_stand_where_the_grammar_has_them(line):
    store = Store("Work")
    store.inbox.add()
    client = Client(store, select=b"INBOX")
    assert b"BAD " in client.do(line).splitlines()[-1]
    assert client.do(b"z NOOP").endswith(b"z OK NOOP completed\r\n")


# -- Every command ----------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    rb"""INBOX Work inbox/a NIL ( ) () [ ] < > " "" "a" "\x" \Seen (\Seen) \ * % $ , : 1 0 1:* 2,* 4294967296 1:2:3 {3+}
    ~{2+} {0+}
    FLAGS +FLAGS.SILENT ALL BODY[] BODY.PEEK[1.MIME]<0.1> BODY[HEADER.FIELDS ENVELOPE MODSEQ (MODSEQ (CHANGEDSINCE
    (UNCHANGEDSINCE RETURN (COUNT) (MIN CHARSET UTF-8 OR NOT FROM SINCE 1-Jan-2024 "1-Jan-2024" UID KEYWORD HEADER
    (STATUS (MESSAGES) (SUBSCRIBED) (CONDSTORE) CONDSTORE IMAP4rev2 UTF8 (~{1+} DEFLATE PLAIN = AAAA "&AOk-" &AOk
    &""".split()
)
LINES = st.lists(st.one_of(WORDS, st.binary(max_size=4)), max_size=12)


class NothingFound(Store):
    """What is sought is not there, nor is what the model has no answer to: rights, notes, quotas."""

    def __init__(self, *names):
        super().__init__(*names)
        kinds = [kind for kind in vars(q).values() if isinstance(kind, type) and issubclass(kind, Question)]
        self.refuse = {kind: q.Refused.NO_SUCH_MAILBOX for kind in kinds if not hasattr(self, method_of(kind))}

    def search_messages(self, question):
        return []

    def append_messages(self, question):
        try:
            return super().append_messages(question)
        except LimitError:
            return q.Refused.LIMIT


@pytest.mark.parametrize("name", sorted(COMMANDS), ids=lambda name: name.decode().replace(" ", "-"))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(words=LINES, gap=st.sampled_from([b" ", b"", b"\r\n"]), enabled=st.booleans())
def test_no_arguments_of_any_command_break_the_session(name, words, gap, enabled):
    store = NothingFound("Work")
    store.inbox.add()
    strangers = name in {b"LOGIN", b"AUTHENTICATE", b"STARTTLS"}
    client = Client(store, log_in=not strangers, select=None if strangers else b"INBOX")
    if enabled and not strangers:
        client.do(b"0 ENABLE IMAP4rev2 UTF8=ACCEPT CONDSTORE")
    client.read()
    arguments = re.sub(rb"(\{([0-3])\+\})", lambda match: match[1] + b"\r\n" + b"xyz"[: int(match[2])], gap.join(words))
    said = client.send(b"a " + name + b" " + arguments + b"\r\n").read()
    # What the command still waits for, or an end to the noise.
    said += client.send(b"DONE\r\n*\r\nz NOOP\r\n").read()
    assert said.endswith(b"\r\n") or (client.closed and not said)


# The longest commands that there can be, each of the worst kind that somebody thought of. They take hundredths
# of a second; what is caught here is a square or worse.
WORST = [
    b"LOGIN " + b"{0+}\r\n" * 9000,
    b'LOGIN "' + b"\\\\" * 30_000 + b'" x',
    b"SEARCH " + b"(" * 60_000,
    b"SEARCH " + b"NOT " * 15_000 + b"ALL",
    b"SEARCH " + b"OR ALL " * 9000 + b"ALL",
    b"SEARCH " + b"1," * 30_000 + b"1",
    b"SEARCH " + b" ".join([b"1:*"] * 999),
    b'LIST "" "' + b"*a" * 30_000 + b'"',
    b'LIST "" "' + b"%" * 4900 + b'x"',
    b"CREATE " + b"&AOk-" * 12_000,
    b"CREATE " + b"&-" * 30_000,
    b"CREATE &" + b"A" * 60_000 + b"-",
    b"FETCH 1 BODY[" + b"1." * 30_000 + b"]",
    b"FETCH 1 BODY[HEADER.FIELDS (" + b" ".join([b"a"] * 25_000) + b")]",
    b"FETCH 1 (" + b" ".join([b"FLAGS"] * 10_000) + b")",
    b"FETCH " + b"1:*," * 15_000 + b"1 FLAGS",
    b"STORE 1 FLAGS (" + b" ".join(b"k%d" % number for number in range(9000)) + b")",
    b"UID COPY " + b"4294967295:1," * 4000 + b"1 Work",
    b'ID ("a" ' + b'"b" ' * 15_000 + b")",
    b"ENABLE" + b" X" * 30_000,
    b"STATUS INBOX (" + b" ".join([b"UIDNEXT"] * 8000) + b")",
    b"APPEND INBOX (" + b" ".join(b"k%d" % number for number in range(9000)) + b") {1+}\r\nx",
    b"AUTHENTICATE PLAIN " + b"A" * 60_000,
    b"A" * 65_000,
]


@pytest.mark.parametrize("line", WORST, ids=range(len(WORST)))
@pytest.mark.parametrize("logged_in", [True, False])
def test_the_longest_commands_take_little_time(line, logged_in):
    store = NothingFound("Work")
    store.inbox.add()
    client = Client(store, log_in=logged_in, select=b"INBOX" if logged_in else None)
    client.read()
    began = time.process_time()
    client.send(b"a " + line + b"\r\n")
    assert time.process_time() - began < 5 * 0.25
    assert client.read()
