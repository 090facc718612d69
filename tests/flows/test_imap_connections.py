"""IMAP4rev2, UTF-8, compression and changing users over real sockets."""

import socket
import time
import zlib
from pathlib import Path

import pytest
from running import PASSWORD, deliver, running

from wire import Imap, Wire

pytestmark = pytest.mark.flow

KIB = 1024
CONTENT = b"Subject: news\r\n\r\n" + b"All work and no play makes Jack a dull boy.\r\n" * 200
CAFE = "Café".encode()


class Deflated:
    """A socket whose two directions are compressed, as a client sees it; counts octets."""

    def __init__(self, plain):
        self._plain = plain
        self._deflater = zlib.compressobj(wbits=-15)
        self._inflater = zlib.decompressobj(-15)
        self.on_the_wire = self.read = 0
        self.flush = zlib.Z_SYNC_FLUSH  # how what is sent ends

    def sendall(self, data):
        self._plain.sendall(self._deflater.compress(data) + self._deflater.flush(self.flush))

    def makefile(self, mode):
        assert mode == "rb"
        return Lines(self)

    def recv(self):
        data = self._plain.recv(65536)
        self.on_the_wire += len(data)
        said = self._inflater.decompress(data)
        self.read += len(said)
        return data, said

    def close(self):
        self._plain.close()


class Lines:
    """As much of a file as ``Wire`` needs."""

    def __init__(self, source):
        self._source = source
        self._data = b""

    def _more(self):
        data, said = self._source.recv()
        self._data += said
        return bool(data)

    def readline(self):
        while b"\n" not in self._data and self._more():
            pass
        line, end, self._data = self._data.partition(b"\n")
        return line + end

    def read(self, count):
        while len(self._data) < count and self._more():
            pass
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def close(self):
        self._data = b""


def compress(imap):
    """Agree on compression and speak it from now on."""
    imap.fine(b"COMPRESS DEFLATE")
    imap.socket = Deflated(imap.socket)
    imap._file = imap.socket.makefile("rb")
    return imap


def test_a_compressed_session_says_the_same_in_fewer_octets(any_server, person):
    for _ in range(20):
        assert deliver(any_server, person, CONTENT).startswith(b"250")
    person.wait_for(20)
    with person.imap() as plain, person.imap() as imap:
        compress(imap)
        assert imap.bodies() == plain.bodies()
        assert imap.socket.on_the_wire < imap.socket.read / 5
        assert imap.append(b"INBOX", CONTENT * 50).startswith(b"OK [APPENDUID ")
        assert len(imap.bodies(since=21)[21]) == len(CONTENT) * 50
        assert imap.command(b"COMPRESS DEFLATE")[0].startswith(b"BAD ")
        imap.send_command(b"IDLE")
        assert imap.line().startswith(b"+")
        plain.fine(b"STORE 1 +FLAGS (\\Flagged)")
        assert imap.line().startswith(b"* 1 FETCH ")
        imap.send(b"DONE\r\n")
        while not imap.line().startswith(b"t"):
            pass
        imap.fine(b"LOGOUT")


def test_a_compressed_answer_waits_for_a_slow_reader(server, person):
    with person.imap() as imap:
        # What cannot be compressed fills the buffers of the kernel.
        body = b"Subject: x\r\n\r\n" + b"".join(b"%064x\r\n" % (pow(7, n, 2**255 - 19)) for n in range(100_000))
        assert imap.append(b"INBOX", body).startswith(b"OK")
        compress(imap)
        tags = [imap.send_command(b"FETCH 1 BODY.PEEK[]") for _ in range(5)]
        with person.imap() as other:
            other.fine(b"NOOP")
        for tag in tags:
            tagged, ((_, (octets,)),) = imap.finish(tag)
            assert tagged.startswith(b"OK")
            assert octets == body


def test_a_bomb_costs_the_server_nothing(server, person):
    with person.imap() as imap, person.imap() as other:
        compress(imap)
        bomb = zlib.compressobj(9, wbits=-15)
        raw = b"".join(bomb.compress(b"x" * KIB * KIB) for _ in range(512)) + bomb.flush(zlib.Z_SYNC_FLUSH)
        before = max(memory(server).values())
        try:
            imap.socket._plain.sendall(raw)
            assert imap.line().startswith(b"* BYE [LIMIT]")
        except OSError:
            pass  # it has hung up on us in the middle
        other.fine(b"NOOP")
        assert max(memory(server).values()) - before < 16 * KIB * KIB


def memory(server):
    """Peak resident set size of each process, in bytes."""
    peaks = {}
    for pid in server.tree():
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                peaks[pid] = int(line.split()[1]) * KIB
    return peaks


def test_one_connection_serves_one_user_after_the_other(server, person, friend):
    with person.imap() as imap:
        imap.fine(b"ENABLE IMAP4rev2 UTF8=ACCEPT CONDSTORE")
        imap.fine(b"UNAUTHENTICATE")
        assert imap.command(b"SELECT INBOX")[0].startswith(b"BAD ")
        assert imap.login(friend.address, PASSWORD).startswith(b"OK")
        imap.append(b"INBOX", b"Subject: for the friend\r\n\r\n")
        # What was enabled for the other is not enabled here.
        assert any(b" RECENT" in text for text, _ in imap.fine(b"SELECT INBOX"))
        compress(imap)
        imap.socket.flush = zlib.Z_FINISH
        imap.fine(b"UNAUTHENTICATE")
        imap.socket = imap.socket._plain
        imap._file = imap.socket.makefile("rb")
        assert imap.login(person.address, PASSWORD).startswith(b"OK")
    assert len(friend.mail()) == 1
    assert person.mail() == []


def test_cutting_an_account_passes_over_whom_it_is_no_more(server, person, friend):
    with person.imap() as left, person.imap() as stays:
        left.fine(b"UNAUTHENTICATE")
        assert left.login(friend.address, PASSWORD).startswith(b"OK")
        whose = "from accounts.models import User\nprint(User.objects.get(email=given).pk)"
        account = server.python(whose, person.address)
        assert server.control("cut", account_id=account) == {"connections": 1}
        left.fine(b"NOOP")
        assert stays.line().startswith(b"* BYE ")


def test_imap4rev2_and_utf_8_end_to_end(any_server, person):
    subject = b"Subject: caf\xc3\xa9\r\n\r\nx\r\n"
    with person.imap() as old, Imap(any_server.ports["imaps"], tls=True) as imap:
        assert b" IMAP4rev1 IMAP4rev2 " in imap.greeting
        assert imap.login(person.address, PASSWORD).startswith(b"OK")
        assert imap.fine(b"ENABLE IMAP4rev2 UTF8=ACCEPT")[0][0] == b"* ENABLED IMAP4rev2 UTF8=ACCEPT"
        imap.fine(b'CREATE "' + CAFE + b'"')
        tag = imap.send_command(b'APPEND "' + CAFE + b'" (\\Seen $Forwarded) UTF8 (~{%d+}' % len(subject))
        imap.send(subject + b")\r\n")
        assert imap.finish(tag)[0].startswith(b"OK [APPENDUID ")
        told = [text for text, _ in imap.fine(b'SELECT "' + CAFE + b'"')]
        assert b'* LIST () "/" "' + CAFE + b'"' in told
        assert not any(b"RECENT" in text for text in told)
        assert imap.fine(b'SEARCH SUBJECT "caf\xc3\xa9"')[0][0].endswith(b" ALL 1")
        assert imap.command(b"SEARCH CHARSET UTF-8 ALL")[0].startswith(b"BAD ")
        # The same for a client of before.
        assert any(text.endswith(b' "/" Caf&AOk-') for text, _ in old.fine(b'LIST "" "*"'))
        old.fine(b"SELECT Caf&AOk-")
        assert list(old.bodies().values()) == [subject]


@pytest.mark.long
def test_what_compressed_connections_cost(record_property):
    with running("deflated", {"A3MAILER_CONNECTION_LIMIT_PER_ADDRESS": "2000"}, people=10) as server:
        costs = {}
        for kind in ("plain", "deflated"):
            crowd = []
            before = resident(server)
            for number in range(300):
                imap = Imap(server.ports["imaps"], tls=True)
                assert imap.login(server.people[number % 10].address, PASSWORD).startswith(b"OK")
                if kind == "deflated":
                    compress(imap)
                imap.fine(b"SELECT INBOX")
                imap.fine(b"NOOP")
                crowd.append(imap)
            time.sleep(2)  # not a wait for something: the server is to have come to rest before it is weighed
            costs[kind] = (resident(server) - before) / len(crowd)
            for imap in crowd:
                imap.close()
        record_property("kib_for_compression", round((costs["deflated"] - costs["plain"]) / KIB, 1))
        assert costs["deflated"] - costs["plain"] < 48 * KIB


def resident(server):
    """Resident set size of all processes, in bytes."""
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 for pid in server.tree())


def test_a_half_open_compressed_connection_is_let_go(server, person):
    imap = compress(person.imap())
    imap.socket._plain.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionResetError):
        imap.line()
    assert isinstance(imap, Wire)
