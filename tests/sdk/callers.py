"""The three clients behind one function, so that one test is a test of each of them."""

import asyncio
import json
import keyword
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
GO = {**os.environ, "GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOSUMDB": "off", "GOWORK": "off"}


class RefusedError(Exception):
    """What a client raised or returned: ``kind`` is the name of its type without ``Error``."""

    def __init__(self, error):
        super().__init__(error)
        self.__dict__.update(error)


class Caller:
    """``caller("users.get", "user_1")`` returns the answer as it was on the wire."""

    def __init__(self):
        self.operations = set()
        self.etag = None

    def __call__(self, operation, *arguments, key=None, **options):
        self.operations.add(operation)
        outcome = self.outcome({"operation": operation, "arguments": arguments, "options": options, "key": key})
        if "error" in outcome:
            raise RefusedError(outcome["error"])
        self.etag = outcome.get("etag")
        return outcome["answer"]

    def close(self):
        """End what was started."""


class PythonCaller(Caller):
    """The blocking client."""

    def __init__(self, url, key):
        super().__init__()
        self.url, self.key = url, key

    def client(self, key):
        from a3mailer_sdk import A3MailerClient

        return A3MailerClient(self.url, key)

    def outcome(self, call):
        with self.client(call["key"] or self.key) as client:
            return self.result(call, client, lambda answer: list(answer) if isinstance(answer, Iterator) else answer)

    def result(self, call, client, have):
        """Call, and say what came of it."""
        from a3mailer_sdk import APIError
        from a3mailer_sdk.records import Record

        named = {
            f"{name}_" if keyword.iskeyword(name) else name: value
            for one in call["arguments"]
            if isinstance(one, dict)
            for name, value in one.items()
        }
        options = dict(call["options"])
        named |= {name: options.pop(name) for name in ("if_match",) if name in options}
        group, _, method = call["operation"].partition(".")
        function = getattr(getattr(client.with_options(**options), group), method)
        try:
            answer = have(function(*(one for one in call["arguments"] if not isinstance(one, dict)), **named))
        except APIError as error:
            kind = type(error).__name__.removesuffix("Error")
            return {"error": {**vars(error), "kind": kind}}
        plain = [one.to_dict() for one in answer] if isinstance(answer, list) else answer
        return {
            "answer": plain.to_dict() if isinstance(plain, Record) else plain,
            "etag": getattr(answer, "etag", None),
        }


class AsyncPythonCaller(PythonCaller):
    """The async client."""

    def client(self, key):
        from a3mailer_sdk import AsyncA3MailerClient

        return AsyncA3MailerClient(self.url, key)

    def outcome(self, call):
        with asyncio.Runner() as runner:
            client = self.client(call["key"] or self.key)

            async def waited(answer):
                if isinstance(answer, AsyncIterator):
                    return [row async for row in answer]
                return await answer

            outcome = self.result(call, client, lambda answer: runner.run(waited(answer)))
            runner.run(client.close())
            return outcome


class ProcessCaller(Caller):
    """A client of another language in a process of its own."""

    def __init__(self, command, where, environment=None):
        super().__init__()
        self.process = subprocess.Popen(
            command, cwd=where, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def outcome(self, call):
        self.process.stdin.write(json.dumps({name: value for name, value in call.items() if value is not None}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline() or '{"answer": "the client ended"}')

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)


def installed(program):
    """Leave a test out where its language is not installed (in CI it is, and a skip is a failure)."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    return program


def caller(language, url, key):
    """A caller in a language."""
    if language == "javascript":
        return ProcessCaller([installed("node"), "caller.mjs", url, key], HERE)
    if language == "go":
        return ProcessCaller([installed("go"), "run", ".", url, key], HERE / "caller", GO)
    return {"python": PythonCaller, "async python": AsyncPythonCaller}[language](url, key)


LANGUAGES = ["python", "async python", "javascript", "go"]
