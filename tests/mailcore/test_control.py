"""Messages over local sockets: their form, the links of Twisted's side, and the client without a reactor."""

import socket
import threading

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from a3mailer_site.control import LONGEST, ControlError, ServerAwayError, Unframer, call, frame, hint
from mailcore.control import Link

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)


@given(st.lists(st.dictionaries(st.text(), json_values, max_size=3), max_size=5), st.data())
def test_messages_come_out_as_they_went_in_however_the_stream_is_cut(messages, data):
    stream = b"".join(map(frame, messages))
    unframer = Unframer()
    found = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        found += unframer.feed(stream[:cut])
        stream = stream[cut:]
    assert found == messages


@pytest.mark.parametrize(
    "stream",
    [
        (LONGEST + 1).to_bytes(4, "big"),
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x03nul",
        b"\x00\x00\x00\x02\xff\xff",
    ],
)
def test_what_is_no_message_is_refused(stream):
    with pytest.raises(ValueError):  # noqa: PT011 - of several kinds
        list(Unframer().feed(stream))


class Wire(StringTransport):
    aborted = False

    def abortConnection(self):  # noqa: N802
        self.aborted = True

    def said(self):
        messages = list(Unframer().feed(self.value()))
        self.clear()
        return messages


def connect(commands=None, clock=None):
    link = Link(commands or {}, clock)
    wire = Wire()
    link.makeConnection(wire)
    return link, wire


def lose(link):
    link.connectionLost(Failure(ConnectionDone()))


def test_a_command_is_answered_with_its_number():
    link, wire = connect({"add": lambda a, b: {"sum": a + b}})
    link.dataReceived(frame({"do": "add", "id": 9, "a": 2, "b": 3}))
    assert wire.said() == [{"id": 9, "ok": True, "sum": 5}]


def test_a_command_may_answer_later():
    later = Deferred()
    link, wire = connect({"wait": lambda: later})
    link.dataReceived(frame({"do": "wait", "id": 1}))
    assert wire.said() == []
    later.callback({"done": True})
    assert wire.said() == [{"id": 1, "ok": True, "done": True}]


def test_what_is_only_told_is_not_answered():
    told = []
    link, wire = connect({"note": told.append})
    link.dataReceived(frame({"do": "note", "object": 1}))
    link.dataReceived(frame({"do": "unknown"}))
    assert wire.said() == []


def refuse():
    raise ControlError("not today")


def crash():
    raise KeyError("secret detail")


@pytest.mark.parametrize(
    ("command", "arguments", "error", "logged"),
    [
        ("unknown", {}, "there is no command 'unknown'", False),
        ("refuse", {}, "not today", False),
        ("crash", {}, "'secret detail'", True),
        ("refuse", {"surprise": 1}, "got an unexpected keyword argument 'surprise'", True),
    ],
)
def test_a_refusal_says_why(command, arguments, error, logged):
    link, wire = connect({"refuse": refuse, "crash": crash})
    with structlog.testing.capture_logs() as logs:
        link.dataReceived(frame({"do": command, "id": 1, **arguments}))
    (answer,) = wire.said()
    assert answer["ok"] is False
    assert error in answer["error"]
    assert bool(logs) is logged


def test_rubbish_ends_the_connection():
    link, wire = connect()
    with structlog.testing.capture_logs():
        link.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
    assert wire.aborted


def outcome(deferred):
    seen = []
    deferred.addBoth(seen.append)
    return seen


def test_asking_gives_the_answer_or_the_refusal():
    link, wire = connect(clock=Clock())
    first, second = outcome(link.ask("one")), outcome(link.ask("two", x=1))
    asked = wire.said()
    assert [message["do"] for message in asked] == ["one", "two"]
    link.dataReceived(frame({"id": asked[1]["id"], "ok": False, "error": "no"}))
    link.dataReceived(frame({"id": asked[0]["id"], "ok": True, "y": 2}))
    assert first == [{"y": 2}]
    assert second[0].check(ControlError)
    assert second[0].getErrorMessage() == "no"


def test_an_answer_that_does_not_come_is_a_refusal_and_too_late_is_nothing():
    clock = Clock()
    link, wire = connect(clock=clock)
    seen = outcome(link.ask("slow", timeout=5))
    clock.advance(5)
    assert seen[0].getErrorMessage() == "no answer to slow within 5 s"
    link.dataReceived(frame({"id": wire.said()[0]["id"], "ok": True}))
    assert len(seen) == 1


def test_whoever_waits_hears_that_the_other_side_is_gone():
    link, _ = connect(clock=Clock())
    seen, gone = outcome(link.ask("one")), outcome(link.gone)
    lose(link)
    assert seen[0].check(ControlError)
    assert gone == [None]
    assert outcome(link.ask("two"))[0].check(ControlError)
    link.tell("three")


def serve_once(path, answer):
    """A server on a control socket that answers one call with these bytes."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path / "control.sock"))
    listening.listen()
    asked = []

    def serve():
        connection, _ = listening.accept()
        with connection:
            asked.extend(Unframer().feed(connection.recv(65536)))
            connection.sendall(answer)
        listening.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return asked


def test_a_call_gives_the_facts_of_the_answer(tmp_path):
    asked = serve_once(tmp_path, frame({"id": 1, "ok": True, "state": "running"}))
    assert call("status", data_dir=tmp_path, verbose=True) == {"state": "running"}
    assert asked == [{"do": "status", "id": 1, "verbose": True}]


def test_a_call_that_is_refused_raises_the_reason(tmp_path):
    serve_once(tmp_path, frame({"id": 1, "ok": False, "error": "not now"}))
    with pytest.raises(ControlError, match="not now"):
        call("reload", data_dir=tmp_path)


@pytest.mark.parametrize("answer", [b"", b"\x00\x00"])
def test_a_server_that_hangs_up_is_away(tmp_path, answer):
    serve_once(tmp_path, answer)
    with pytest.raises(ServerAwayError):
        call("status", data_dir=tmp_path)


def test_no_server_is_said_so_and_a_hint_says_false(tmp_path, monkeypatch):
    with pytest.raises(ServerAwayError, match="no server answers in"):
        call("status", data_dir=tmp_path)
    monkeypatch.setattr("a3mailer_site.control.current", lambda: type("Env", (), {"data_dir": tmp_path}))
    assert hint("wake") is False


def test_a_data_directory_may_be_deep(tmp_path):
    deep = tmp_path.joinpath(*["directory-with-a-long-name"] * 8)
    deep.mkdir(parents=True)
    with pytest.raises(ServerAwayError, match="No such file"):
        call("status", data_dir=deep)
