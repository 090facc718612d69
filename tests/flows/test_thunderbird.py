"""Thunderbird logs in, reads, marks, files, deletes, writes a draft, and sees what comes while it waits."""

import base64

import pytest
from running import deliver, without_trace

from peers.thunderbird import Thunderbird

pytestmark = [pytest.mark.flow, pytest.mark.peer]

# What is there once it is there: Thunderbird works on its own time.
WHEN = """
const when = async condition => {
    for (;;) {
        const value = condition();
        if (value) {
            return value;
        }
        await new Promise(resolve => setTimeout(resolve, 50));
    }
};
const done = (start, seconds = 60) =>
    new Promise((resolve, reject) => {
        start({
            QueryInterface: ChromeUtils.generateQI(["nsIUrlListener", "nsIMsgCopyServiceListener"]),
            OnStartRunningUrl() {},
            OnStopRunningUrl(url, status) { status ? reject(new Error(String(status))) : resolve(); },
            onStartCopy() {},
            onProgress() {},
            setMessageKey() {},
            getMessageId() { return null; },
            onStopCopy(status) { status ? reject(new Error(String(status))) : resolve(); },
        });
    });
"""

OPEN_INBOX = """
return (async () => {
    const server = globalThis.account.incomingServer;
    server.getNewMessages(server.rootFolder, null, null);
    const box = await when(() => inbox() && messages(inbox()).length >= 3 && inbox());
    return messages(box).map(one => [one.mime2DecodedSubject, one.mime2DecodedAuthor, one.messageSize]);
})();
"""

READ = """
return (async subject => {
    const header = bySubject(inbox(), subject);
    const uri = inbox().getUriForMsg(header);
    const text = await new Promise((resolve, reject) => {
        let read = "";
        MailServices.messageServiceFromURI(uri).streamMessage(uri, {
            QueryInterface: ChromeUtils.generateQI(["nsIStreamListener"]),
            onStartRequest() {},
            onDataAvailable(request, stream, offset, count) {
                const binary = Cc["@mozilla.org/binaryinputstream;1"].createInstance(Ci.nsIBinaryInputStream);
                binary.setInputStream(stream);
                read += binary.readBytes(count);
            },
            onStopRequest(request, status) { status ? reject(new Error(String(status))) : resolve(read); },
        }, null, null, false, "");
    });
    return btoa(text);
})(arguments[0]);
"""

CHANGE = """
return (async () => {
    const box = inbox();
    const root = globalThis.account.incomingServer.rootFolder;
    box.markMessagesRead([bySubject(box, "Erste")], true);
    box.markMessagesFlagged([bySubject(box, "Erste")], true);
    root.createSubfolder("Grüße", null);
    const folder = await when(() => root.containsChildNamed("Grüße") && root.getChildNamed("Grüße"));
    await done(listener => MailServices.copy.copyMessages(
        box, [bySubject(box, "Zweite")], folder, true, listener, null, false));
    await done(listener => box.deleteMessages([bySubject(box, "Dritte")], null, false, false, listener, false));
    const draft = Cc["@mozilla.org/file/local;1"].createInstance(Ci.nsIFile);
    draft.initWithPath(arguments[0]);
    const drafts = root.getFolderWithFlags(Ci.nsMsgFolderFlags.Drafts);
    await done(listener => MailServices.copy.copyFileMessage(
        draft, drafts, null, true, Ci.nsMsgMessageFlags.Read, "", listener, null));
    await when(() => messages(box).length === 1);
    return messages(box).map(one => one.mime2DecodedSubject);
})();
"""

SEE = """
return (async (arrived, answered) => {
    const header = await when(() => bySubject(inbox(), arrived));
    await when(() => bySubject(inbox(), answered).flags & Ci.nsMsgMessageFlags.Replied);
    return header.messageKey;
})(...arguments);
"""


def letter(subject):
    head = f"From: Freund <friend@example.net>\r\nTo: you@example.test\r\nSubject: {subject}\r\n"
    mime = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
    return f"{head}{mime}Message-ID: <{subject}@example.net>\r\n\r\nGrüße von {subject}\r\n".encode()


def there(person, folder):
    """Octets and flags of the messages of a mailbox."""
    with person.imap() as imap:
        imap.fine(b"EXAMINE " + folder)
        return [
            (literals[0], set(text.partition(b"FLAGS (")[2].partition(b")")[0].decode().split()) - {"\\Recent"})
            for text, literals in imap.fine(b"UID FETCH 1:* (FLAGS BODY.PEEK[])")
            if literals
        ]


def test_thunderbird_reads_marks_files_deletes_and_waits(server, person, tmp_path):
    sent = {subject: letter(subject) for subject in ("Erste", "Zweite", "Dritte", "Vierte")}
    for subject in ("Erste", "Zweite", "Dritte"):
        deliver(server, person, sent[subject])
    draft = b"Subject: draft\r\n\r\nto be continued\r\n"
    (tmp_path / "draft.eml").write_bytes(draft)
    with Thunderbird(tmp_path) as thunderbird:
        thunderbird.log_in(server, person)
        assert thunderbird.run(WHEN + OPEN_INBOX) == [
            [subject, "Freund <friend@example.net>", size]
            for subject, size in zip(("Erste", "Zweite", "Dritte"), map(len, person.mail()), strict=True)
        ]
        read = base64.b64decode(thunderbird.run(WHEN + READ, "Erste"))
        assert read.endswith(person.mail()[0])
        assert thunderbird.run(WHEN + CHANGE, str(tmp_path / "draft.eml")) == ["Erste"]
        # It idles now, and is told what others do.
        deliver(server, person, sent["Vierte"])
        with person.imap() as imap:
            imap.fine(b"UID STORE 1 +FLAGS (\\Answered)")
        assert thunderbird.run(WHEN + SEE, "Vierte", "Erste") == 4

    inbox, filed, trash = (there(person, folder) for folder in (b"INBOX", b'"Gr&APwA3w-e"', b"Trash"))
    assert [(without_trace(octets), flags) for octets, flags in inbox] == [
        (sent["Erste"], {"\\Seen", "\\Flagged", "\\Answered"}),
        (sent["Vierte"], set()),
    ]
    assert [(without_trace(octets), flags) for octets, flags in filed] == [(sent["Zweite"], set())]
    assert [without_trace(octets) for octets, _ in trash] == [sent["Dritte"]]
    assert there(person, b"Drafts") == [(draft, {"\\Seen", "\\Draft"})]
