"""The log: one line an event, in both forms, and nothing from outside can forge a line."""

import io
import json
import logging

import pytest
import structlog
from twisted.logger import LogLevel
from twisted.python.failure import Failure

from mailcore import journal


@pytest.fixture
def written():
    root = logging.getLogger()
    before = root.handlers[:], root.level

    def configure(log_format):
        stream = io.StringIO()
        journal.configure("mail", log_format, stream)
        return stream

    yield configure
    root.handlers[:], root.level = before
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)


def test_an_event_is_one_json_object(written):
    stream = written("json")
    structlog.get_logger("mailcore.test").info("delivered", queue_id="0abc", remote="250 grüße")
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert event.items() >= {"event": "delivered", "queue_id": "0abc", "remote": "250 grüße", "process": "mail"}.items()
    assert event["level"] == "info"
    assert event["logger"] == "mailcore.test"
    assert event["timestamp"].endswith("Z")


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize(
    "evil", ["a\nb", "a\r\nb", "\x1b[31mred", "a\x00b", "a\u2028b", "a\x85b", "a\x9b31mb", "a\u202eb"]
)
def test_control_characters_cannot_forge_a_line(written, log_format, evil):
    stream = written(log_format)
    structlog.get_logger("mailcore.test").warning("greeted", helo=evil)
    logging.getLogger("library").warning("said %s", evil)
    text = stream.getvalue()
    assert text.count("\n") == len(text.splitlines()) == 2
    assert all(sign.isprintable() or sign == "\n" for sign in text)
    assert "\x1b[31mred" not in text
    assert "\x00" not in text
    assert "\r" not in text


def breaks(password):
    """Return an error whose traceback has the password among its local variables."""
    try:
        int(f"not a number, {len(password)}")
    except ValueError as error:
        return error


def test_an_exception_is_in_its_line_without_the_values_of_variables(written):
    stream = written("json")
    password = "hunter2-" + "x"
    structlog.get_logger("mailcore.test").error("failed", exc_info=breaks(password))
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["exception"]
    assert password not in line


def test_the_console_form_shows_no_variables_either(written):
    stream = written("console")
    password = "hunter2-" + "x"
    structlog.get_logger("mailcore.test").error("failed", exc_info=breaks(password))
    assert "ValueError: invalid literal" in stream.getvalue()
    assert password not in stream.getvalue()


def test_what_twisted_has_to_say_comes_out_too_and_its_chatter_does_not(written):
    stream = written("json")
    observer = journal.TwistedObserver()
    observer({"log_level": LogLevel.info, "log_format": "Starting factory"})
    failure = Failure(ValueError("unhandled"))
    observer({"log_level": LogLevel.critical, "log_format": "Unhandled error", "log_failure": failure})
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert event["logger"] == "twisted"
    assert event["level"] == "critical"
    assert "ValueError: unhandled" in event["exception"]
