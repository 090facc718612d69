"""Fuzz all that is read out of a message: ``python tests/fuzz/message.py --seconds 600``.

An input is a message. Whatever it is, its structure lies within it and is written by the grammar, every part is found
by its number, the index has all that the texts have, and pieces of a body decode to what the whole body does.
"""

import fuzzing

with fuzzing.instrumented():
    from test_imapform import check_body, read

    from mailcore.message import charsets
    from mailcore.message.collation import folded_chunks
    from mailcore.message.headers import select_fields
    from mailcore.message.imapform import body, bodystructure
    from mailcore.message.structure import find_part, scan, section_span
    from mailcore.message.summary import summarize
    from mailcore.message.text import body_texts, header_texts, preview
    from mailcore.message.thread_root import thread_root
    from mailcore.message.transfer import Place, decode_base64, decode_body, decode_piece
    from mailcore.message.trigrams import may_contain
    from mailcore.store.entries import entry_of

# Needles looked for of each text, and the most texts of one message that are looked into.
NEEDLE, TEXTS = 7, 50

SEEDS = [
    message.replace(b"\n", b"\r\n")
    for message in (
        b'From: A <a@example.com>\nTo: g: b@example.com, (c) "d"@[::1];\nSubject: =?utf-8?q?fr=C3=BCh?=\n\nx\n',
        b"""Content-Type: multipart/mixed; boundary=b

--b

one
--b
Content-Type: message/rfc822

Subject: in
Content-Type: text/html

<p>two &amp; three</p>
--b--
""",
        b"""Content-Type: multipart/digest; boundary="b c"

--b c

Date: 1 Jan 2024 00:00:00 +0000

--b c--
""",
        b"""Content-Type: text/plain; charset*=utf-8''iso-2022-jp; name*0=a; name*1*=%20b
Content-Transfer-Encoding: quoted-printable
Content-Disposition: attachment; filename=x

=41=
b
""",
        b"""Content-Transfer-Encoding: base64
Content-Language: en, de
References: <a@b> <c@d>

w6Tn
lYzw
""",
    )
]
WORDS = [
    *rb"""From: To: Cc: Sender: Reply-To: Subject: Date: Message-ID: References: In-Reply-To: Content-Type:
    Content-Transfer-Encoding: Content-Disposition: Content-Language: Content-ID: Content-MD5: multipart/mixed
    multipart/alternative multipart/digest message/rfc822 text/plain text/html image/png ; boundary= charset= name*0*=
    name*1= filename*=utf-8'' base64 quoted-printable 8bit --b --b-- =?utf-8?b?w6s=?= =?iso-2022-jp?q?=1B$B?= utf-7
    gb18030 big5 <a@b.example> (c) " \ : , ; < > [ ] @ =C3 =AB = =3D &amp; &#228; <style> </style> <!-- --> <br>
    """.split(),
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\r\n ",
    b"\r\n\t",
    b" ",
    b"\0",
    b"\r",
    b"\xff",
    "ä".encode(),
    "中文".encode(),
]


def one_input(message):
    root = scan(message)
    summary = summarize(message)
    assert summary.bodystructure == bodystructure(root)
    check_body(read(body(root)), extended=False)
    check_body(read(bodystructure(root)), extended=True)
    assert len(read(summary.envelope)) == 10
    headers = message[: root.body_start]
    names = frozenset({b"from", b"subject", b"content-type"})
    fields = select_fields(headers, names), select_fields(headers, names, inverted=True)
    assert all(lines.endswith(b"\n") for lines in fields)
    thread_root(summary.fields)
    outline = [check_part(message, root, part, path) for path, part in numbered(root)]
    check_texts(message, root)
    return tuple(outline), len(preview(message)) // 50, summary.sent_at is None, summary.from_count


def numbered(root):
    """Give all parts that have a number, with it (RFC 3501 section 6.4.5)."""
    yield (), root
    waiting = list(inside((), root)) if root.is_multipart else [((1,), root)]
    while waiting:
        path, part = waiting.pop()
        yield path, part
        waiting += inside(path, part)


def inside(path, part):
    whole = part.children[0] if part.is_message else part
    if whole.is_multipart:
        return [((*path, number), child) for number, child in enumerate(whole.children, 1)]
    return [] if whole is part else [((*path, 1), whole)]


def check_part(message, root, part, path):
    assert find_part(root, path) is part
    assert 0 <= part.start <= part.body_start <= part.end <= len(message)
    start, end = section_span(root, path)
    assert (start, end) == ((part.body_start, part.end) if path else (0, len(message)))
    octets = message[part.body_start : part.end]
    if part.is_text or part.is_message:
        assert part.lines == octets.count(b"\n")
    whole = decode_body(octets, part.encoding)
    if part.encoding.lower() == b"base64":
        assert decoded_by_pieces(octets, 8) == whole == decode_base64(octets)
    else:
        decoded_by_pieces(octets, 64, part.encoding)
    charsets.decode(whole, "utf-8")
    return part.media_type.lower()[:5], part.subtype.lower()[:5], part.encoding.lower()[:5], len(part.children)


def decoded_by_pieces(octets, size, encoding=b"base64"):
    place, pieces = Place(0), []
    while place.offset < len(octets):
        before = place.offset
        window = octets[before : before + size]
        piece, place = decode_piece(window, encoding, place, last=before + size >= len(octets))
        pieces.append(piece)
        assert place.offset > before
    return b"".join(pieces)


def check_texts(message, root):
    """What is in a text is found: the index never rules it out."""
    signature = entry_of(message).signature
    texts = [*header_texts(root.headers), *body_texts(message, root)][:TEXTS]
    for text in texts:
        text.encode()
        for chunk in folded_chunks(text, NEEDLE):
            for at in range(0, len(chunk) - NEEDLE, 97):
                needle = chunk[at : at + NEEDLE]
                assert may_contain(signature, needle), needle


if __name__ == "__main__":
    fuzzing.main(one_input, SEEDS, WORDS)
