"""What a reload changes, and what it leaves for a restart: differences between settings, as facts and in words.

A note is a fact for programs: ``{"kind": "listen", "name": "smtp", "address": "…"}``. Knows no process and no socket
that is in use; whether a new listener can be opened it finds out by opening and closing it.
"""

import errno
import time
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeAlias

from a3mailer_site.control import ControlError
from a3mailer_site.env import Env
from mailcore.supervisor.sockets import Listener, Wanted, bind, explain

Note: TypeAlias = dict[str, str]

# Settings that are read when the server starts and at no other time, and those that each process reads at its start.
_FIXED = ("data_dir", "database_url", "redis_url", "profile", "user", "mail_processes", "secret_key")
_OF_PROCESSES = ("allowed_hosts", "hostname", "language", "trusted_proxies")
# Settings with passwords in them: that they change is told, and never what they are.
_SECRET = {"database_url", "redis_url", "secret_key"}

_WORDS = {
    "start_again": "{name} changed; it takes effect when the server is started again",
    "restart": "{name} changed; restart to apply",
    "listen": "{name} is to listen on {address}; restart to apply",
    "listen_as_root": "{name} is to listen on {address}, for which the server must be started again as root",
    "unlisten": "{name} is no longer to listen on {address}; restart to apply",
    "certificate_expired": "the certificate expired at {address}",
}


def in_words(note: Note) -> str:
    """Write a note as a sentence."""
    return _WORDS[note["kind"]].format(**note)


def changes(before: Env, after: Env) -> list[dict[str, Any]]:
    """Return name and values of each setting that differs."""
    return [
        {"name": field.name, "before": _shown(before, field.name), "after": _shown(after, field.name)}
        for field in fields(Env)
        if getattr(before, field.name) != getattr(after, field.name)
    ]


def _shown(env: Env, name: str) -> Any:
    value = getattr(env, name)
    if name in _SECRET:
        return "***" if value else ""
    return str(value) if isinstance(value, Path) else value


def certificate_changes(answers: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the change of the certificate, if any of the processes serves another one than is in the file."""
    for certificate in _certificates(answers):
        before, after = certificate["before"], certificate["after"]
        if before["fingerprint"] != after["fingerprint"]:
            return [{"name": "certificate", "before": _certificate(before), "after": _certificate(after)}]
    return []


def _certificate(described: dict[str, str]) -> str:
    return f"sha256:{described['fingerprint']} valid until {described['expires_at']}"


def certificate_notes(answers: Iterable[dict[str, Any]]) -> list[Note]:
    """Say that the certificate is no longer valid."""
    for certificate in _certificates(answers):
        if certificate["after"]["expired"]:
            return [_note("certificate_expired", "certificate", certificate["after"]["expires_at"])]
    return []


def _certificates(answers: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [answer["certificate"] for answer in answers if "certificate" in answer]


def fixed(began: Env, candidate: Env) -> list[Note]:
    """Name what holds from start to end."""
    return [_note("start_again", name) for name in _FIXED if getattr(candidate, name) != getattr(began, name)]


def for_new_processes(began: Env, candidate: Env) -> list[Note]:
    """Name what only a new process reads."""
    return [_note("restart", name) for name in _OF_PROCESSES if getattr(candidate, name) != getattr(began, name)]


def listeners(wanted: Sequence[Wanted], bound: Sequence[Listener]) -> list[Note]:
    """Name listeners that are to come or to go; raises ``ControlError`` for one that cannot be opened at all."""
    new = sorted({(one.name, str(one)): one for one in wanted}.items())
    old = {(listener.name, str(listener.wanted)) for listener in bound}
    ours = {listener.wanted.port for listener in bound}
    notes = [_coming(one, ours) for key, one in new if key not in old]
    gone = sorted(old - {key for key, _ in new})
    return notes + [_note("unlisten", name, address) for name, address in gone]


def _coming(wanted: Wanted, ours: set[int]) -> Note:
    if wanted.port in ours:  # it will be free when the one that has it goes
        return _note("listen", wanted.name, str(wanted))
    try:
        opened = bind(wanted, time.monotonic())
    except OSError as error:
        if error.errno == errno.EACCES:
            return _note("listen_as_root", wanted.name, str(wanted))
        raise ControlError(f"{wanted.name} cannot listen on {wanted}: {explain(error)}") from error
    for each in opened:
        each.close()
    return _note("listen", wanted.name, str(wanted))


def _note(kind: str, name: str, address: str = "") -> Note:
    return {"kind": kind, "name": name, "address": address}
