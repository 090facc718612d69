"""Paths and parameters: what is read, how it looks afterwards, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.conversation import CommandRefusedError
from mailcore.message.envelope import Reply
from mailcore.smtp.grammar import decode_xtext, parse_chunk, parse_recipient, parse_sender
from mailcore.smtp.replies import encode

# Disguises of relaying: what the decision about a recipient gets to see. The domain is what follows the last "@".
DISGUISES = [
    ("<victim%evil.example@example.com>", "victim%evil.example@example.com"),
    ("<evil.example!victim@example.com>", "evil.example!victim@example.com"),
    ("<@example.com:victim@evil.example>", "victim@evil.example"),
    ("<@example.com,@example.org:victim@evil.example>", "victim@evil.example"),
    ('<"victim@evil.example"@example.com>', '"victim@evil.example"@example.com'),
    ('<"victim"@evil.example>', "victim@evil.example"),
    ('<"vic\\tim"@evil.example>', "victim@evil.example"),
    ('<"a b"@example.com>', '"a b"@example.com'),
    ('<"a\\"b"@example.com>', '"a\\"b"@example.com'),
    ('<"a..b"@example.com>', '"a..b"@example.com'),
    ("<victim@[192.0.2.1]>", "victim@[192.0.2.1]"),
    ("<victim@[IPv6:2001:DB8::0:1]>", "victim@[IPv6:2001:db8::1]"),
    ("<victim@EVIL.example>", "victim@evil.example"),
    ("<Victim@evilexample.com>", "Victim@evilexample.com"),
    ("<victim@localhost>", "victim@localhost"),
    ("<bob+tag@example.com>", "bob+tag@example.com"),
    (" <bob@example.com>", "bob@example.com"),
    ("<bob@under_score.example>", "bob@under_score.example"),
    ("<!#$%&'*+-/=?^_`{|}~@example.com>", "!#$%&'*+-/=?^_`{|}~@example.com"),
    ("<PostMaster>", "postmaster"),
    ("<ü@bücher.example>", "ü@bücher.example"),
]


@pytest.mark.parametrize(("path", "address"), DISGUISES)
def test_a_path_is_read_for_what_it_is(path, address):
    assert parse_recipient(f"TO:{path}") == (address, {})


@pytest.mark.parametrize(
    "path",
    [
        "",
        "bob@example.com",
        "<bob@example.com",
        "bob@example.com>",
        "<>",
        "<bob>",
        "<bob@>",
        "<@example.com>",
        "<victim@evil.example@example.com>",
        "<victim@evil.example.>",
        "<victim@.example>",
        "<victim@evil..example>",
        "<.victim@evil.example>",
        "<vic..tim@evil.example>",
        "<vic tim@evil.example>",
        "<vic\\@tim@evil.example>",
        '<"victim@evil.example>',
        '<"vic"tim@evil.example>',
        "<victim@-evil.example>",
        "<victim@evil-.example>",
        "<victim@[192.0.2.256]>",
        "<victim@[192.0.2.1>",
        "<victim@192.0.2.1]>",
        "<victim@[IPv6:zz]>",
        "<victim@[x400:y]>",
        "<victim@[]>",
        "<@evil.example,victim@example.com>",
        "<evil.example:victim@example.com>",
        "<victim@evil.example>,<bob@example.com>",
        "<<victim@evil.example>>",
        "<(comment)victim@evil.example>",
        "<victim@evil.example(comment)>",
        f"<{'a' * 310}@example.com>",
        f"<bob@{'a' * 64}.example>",
        f"<bob@{'a.' * 130}example>",
        "< bob@example.com>",
        "<postmaster@>",
    ],
)
def test_what_is_no_path_is_refused(path):
    with pytest.raises(CommandRefusedError) as refused:
        parse_recipient(f"TO:{path}")
    assert refused.value.reply.code == 501


def test_a_quoted_local_part_and_its_plain_form_are_one_address():
    assert parse_sender('FROM:<"bob"@example.com>') == parse_sender("from:<bob@example.com>")


def test_parameters_are_read_in_any_case_and_keep_their_values():
    assert parse_sender("FROM:<> size=10 Body=8bitmime SMTPUTF8") == (
        "",
        {"SIZE": "10", "BODY": "8bitmime", "SMTPUTF8": None},
    )


@pytest.mark.parametrize(
    "text", ["=1", "SIZE==1", "SIZE=", "-X=1", "A=1 a=2", "X=a=b", " ".join(f"A{n}" for n in range(21))]
)
def test_wrong_parameters_are_refused(text):
    with pytest.raises(CommandRefusedError):
        parse_sender(f"FROM:<> {text}")


@pytest.mark.parametrize(("text", "decoded"), [("", ""), ("a+2Bb", "a+b"), ("+3D+20+7E", "= ~"), ("a;b@c", "a;b@c")])
def test_xtext_is_decoded(text, decoded):
    assert decode_xtext(text) == decoded


@pytest.mark.parametrize("text", ["+", "+0", "+0a", "a=b", "+0D", "+00", "+7F", "+80", "+FF", "ü", "a b"])
def test_wrong_xtext_and_what_would_break_a_header_is_refused(text):
    with pytest.raises(CommandRefusedError):
        decode_xtext(text)


@pytest.mark.parametrize(("argument", "chunk"), [("0", (0, False)), ("12 LAST", (12, True)), ("5 last", (5, True))])
def test_a_chunk_size_is_read(argument, chunk):
    assert parse_chunk(argument) == chunk


@given(st.text(max_size=60))
def test_no_path_makes_the_grammar_stumble(text):
    for argument in (f"TO:{text}", f"TO:<{text}>", f"TO:<{text}@example.com> {text}"):
        try:
            address, _ = parse_recipient(argument)
        except CommandRefusedError:
            continue
        assert "\r" not in address
        assert "\n" not in address


def test_hostile_paths_take_linear_time():
    for hostile in (
        "<" + "a." * 2000,
        "<" + '"' + "\\a" * 2000,
        "<@" + "a.a,@" * 800,
        "<a@" + "a-" * 2000,
        "<" + "!" * 4000,
    ):
        with pytest.raises(CommandRefusedError):
            parse_recipient(f"TO:{hostile}")


@pytest.mark.parametrize(
    ("reply", "wire"),
    [
        (Reply(250, "2.0.0", "Ok"), b"250 2.0.0 Ok\r\n"),
        (Reply(354, "", "Go"), b"354 Go\r\n"),
        (Reply(250, "", "mx\nSIZE 1\nDSN"), b"250-mx\r\n250-SIZE 1\r\n250 DSN\r\n"),
        (Reply(550, "5.1.1", "a\nb"), b"550-5.1.1 a\r\n550 5.1.1 b\r\n"),
        (Reply(550, "5.1.1", "<ü>\r"), b"550 5.1.1 <?>?\r\n"),
        (Reply(550, "5.1.1", ""), b"550 5.1.1 \r\n"),
    ],
)
def test_a_reply_is_written_so_that_no_text_can_break_out(reply, wire):
    assert encode(reply) == wire


def test_a_reply_line_has_at_most_512_octets():
    assert len(encode(Reply(550, "5.1.1", "x" * 5000))) <= 512
