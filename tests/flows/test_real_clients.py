"""What people really use: swaks and curl deliver; curl, imapclient, mbsync, mutt and fetchmail read."""

import mailbox
import ssl

import imapclient
import pytest
from running import deliver, without_trace

from peers import programs
from wire import until

pytestmark = [pytest.mark.flow, pytest.mark.peer]

SENDER = "friend@example.net"


def letter(subject, body="Hello\r\n"):
    head = f"From: Friend <{SENDER}>\r\nTo: you@example.test\r\nSubject: {subject}\r\n"
    return f"{head}Message-ID: <{subject}@example.net>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n\r\n{body}".encode()


def test_swaks_delivers_over_starttls(any_server, person, tmp_path):
    said = programs.swaks(tmp_path, any_server.ports["smtp"], SENDER, person.address, "-tls", "--body", "from swaks")
    assert b"<~  250 2.0.0 Ok: queued as" in said.stdout
    (content,) = person.mail()
    assert b"from swaks" in content
    assert b" with ESMTPS (TLSv1.3 " in content.partition(b"\r\n\r\n")[0]


def test_curl_delivers_and_reads_the_same_octets_with_every_protocol(any_server, person, tmp_path):
    ports = any_server.ports
    sent = letter("curl", "one\r\n.two\r\n\r\n..three \r\n")
    path = tmp_path / "letter.eml"
    path.write_bytes(sent)
    mail = ["--mail-from", SENDER, "--mail-rcpt", person.address, "--upload-file", path]
    programs.curl(tmp_path, f"smtp://localhost:{ports['smtp']}/client.example", "--ssl-reqd", *mail, server=any_server)
    login = ["--user", f"{person.address}:{person.password}"]
    for url, *options in [
        (f"imaps://localhost:{ports['imaps']}/INBOX;UID=1",),
        (f"imap://localhost:{ports['imap']}/INBOX;UID=1", "--ssl-reqd"),
        (f"pop3s://localhost:{ports['pop3s']}/1",),
        (f"pop3://localhost:{ports['pop3']}/1", "--ssl-reqd"),
    ]:
        read = programs.curl(tmp_path, url, *options, *login, server=any_server).stdout
        assert without_trace(read) == sent, url


def test_curl_is_not_let_in_without_tls_and_its_password_never_leaves(server, person, tmp_path):
    login = ["--user", f"{person.address}:{person.password}"]
    for protocol in ("imap", "pop3"):
        url = f"{protocol}://localhost:{server.ports[protocol]}/"
        said = programs.curl(tmp_path, url, "--verbose", *login, check=False)
        assert said.returncode == programs.CURL_LOGIN_DENIED, said.stdout
        assert person.password.encode() not in said.stdout


def test_imapclient_reads_flags_copies_moves_and_deletes(any_server, person):
    for number in range(3):
        deliver(any_server, person, letter(f"imapclient-{number}"))
    context = ssl.create_default_context(cafile=str(any_server.certificate()))
    with imapclient.IMAPClient("localhost", any_server.ports["imap"], ssl=False, timeout=60) as client:
        client.starttls(context)
        client.login(person.address, person.password)
        assert client.select_folder("INBOX")[b"EXISTS"] == 3
        uids = client.search(["SUBJECT", "imapclient"])
        assert len(uids) == 3
        fetched = client.fetch(uids, ["ENVELOPE", "BODYSTRUCTURE", "RFC822.SIZE", "BODY.PEEK[]"])
        for number, uid in enumerate(uids):
            envelope = fetched[uid][b"ENVELOPE"]
            assert envelope.subject == f"imapclient-{number}".encode()
            assert str(envelope.from_[0]) == f"Friend <{SENDER}>"
            assert fetched[uid][b"RFC822.SIZE"] == len(fetched[uid][b"BODY[]"])
        client.add_flags(uids[0], [imapclient.FLAGGED, "$Important"])
        assert set(client.get_flags(uids[0])[uids[0]]) >= {imapclient.FLAGGED, b"$Important"}
        client.create_folder("Ordner/Büro")
        client.copy(uids[1], "Ordner/Büro")
        client.move(uids[2], "Ordner/Büro")
        client.delete_messages(uids[1])
        client.expunge()
        assert client.search() == [uids[0]]
        assert client.select_folder("Ordner/Büro")[b"EXISTS"] == 2
        assert "Ordner/Büro" in [name for _, _, name in client.list_folders()]


def test_mbsync_keeps_a_maildir_and_the_server_alike_both_ways(any_server, person, tmp_path):
    for number in range(3):
        deliver(any_server, person, letter(f"mbsync-{number}"))
    programs.mbsync(tmp_path, any_server, person)
    inbox = mailbox.Maildir(tmp_path / "mail" / "INBOX")
    found = {message["Subject"]: key for key, message in inbox.items()}
    assert set(found) == {"mbsync-0", "mbsync-1", "mbsync-2"}

    # Here: one is read and flagged, one is thrown away, one is written. There: another one arrives.
    message = inbox[found["mbsync-0"]]
    message.set_flags("FS")
    message.set_subdir("cur")
    inbox[found["mbsync-0"]] = message
    thrown = inbox[found["mbsync-1"]]
    thrown.set_flags("T")
    thrown.set_subdir("cur")
    inbox[found["mbsync-1"]] = thrown
    own = mailbox.MaildirMessage(letter("mbsync-own").replace(b"\r\n", b"\n"))
    own.set_flags("S")
    own.set_subdir("cur")
    inbox.add(own)
    deliver(any_server, person, letter("mbsync-3"))
    programs.mbsync(tmp_path, any_server, person)

    with person.imap() as imap:
        flags = {}
        for text, literals in imap.fine(b"UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])"):
            flags[literals[0].strip().removeprefix(b"Subject: ").decode()] = text
        assert set(flags) == {"mbsync-0", "mbsync-2", "mbsync-3", "mbsync-own"}
        assert b"\\Seen" in flags["mbsync-0"]
        assert b"\\Flagged" in flags["mbsync-0"]
        assert b"\\Seen" in flags["mbsync-own"]
        assert b"\\Seen" not in flags["mbsync-2"]

        # There: one is deleted and one answered. Here both are seen after the next run, which then has nothing to do.
        imap.fine(b"UID STORE 3 +FLAGS (\\Answered)")
        imap.fine(b"UID STORE 1 +FLAGS (\\Deleted)")
        imap.fine(b"EXPUNGE")
    programs.mbsync(tmp_path, any_server, person)
    found = {message["Subject"]: message.get_flags() for message in mailbox.Maildir(tmp_path / "mail" / "INBOX")}
    assert found == {"mbsync-2": "R", "mbsync-3": "", "mbsync-own": "S"}
    before = sorted(path.name for path in (tmp_path / "mail" / "INBOX").rglob("*") if path.is_file())
    programs.mbsync(tmp_path, any_server, person)
    assert before == sorted(path.name for path in (tmp_path / "mail" / "INBOX").rglob("*") if path.is_file())


def test_mutt_opens_the_inbox_saves_a_message_elsewhere_and_reads_it(server, person, tmp_path):
    deliver(server, person, letter("mutt-0", "to be read\r\n"))
    deliver(server, person, letter("mutt-1", "to be moved\r\n"))
    commands = f"""
set pipe_decode = no
push "<pipe-message>cat >{tmp_path}/read<enter><next-entry><save-message>=Saved<enter>\
<sync-mailbox><change-folder>=Saved<enter><pipe-message>cat >{tmp_path}/saved<enter><exit>"
"""
    programs.mutt(tmp_path, server, person, commands)
    assert b"to be read" in (tmp_path / "read").read_bytes()
    assert b"to be moved" in (tmp_path / "saved").read_bytes()
    with person.imap() as imap:
        assert [b"Subject: mutt-0" in content for content in imap.bodies().values()] == [True]
        assert imap.status(b"Saved", b"MESSAGES") == {"MESSAGES": 1}


@pytest.mark.parametrize("protocol", ["IMAP", "POP3"])
def test_fetchmail_fetches_everything_and_leaves_nothing(server, person, tmp_path, protocol):
    for number in range(3):
        deliver(server, person, letter(f"fetchmail-{number}", ".dot\r\n\r\nFrom here\r\n"))
    programs.fetchmail(tmp_path, server, person, protocol)
    fetched = (tmp_path / "fetched").read_bytes()
    for number in range(3):
        assert fetched.count(b"Subject: fetchmail-%d" % number) == 1
    assert fetched.count(b"\n.dot\n\nFrom here\n") == 3
    until(lambda: person.mail() == [])


def test_fetchmail_keeps_what_it_is_told_to_keep(server, person, tmp_path):
    deliver(server, person, letter("kept"))
    programs.fetchmail(tmp_path, server, person, "POP3", "--keep")
    assert len(person.mail()) == 1
