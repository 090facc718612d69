"""Writes the operations in ``docs/api.md`` from ``sdk/operations.json``: ``python sdk/manual.py``.

What stands above the marker there is written by hand and stays.
"""

import json
import re
import shlex
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

SDK = Path(__file__).resolve().parent
PAGE = SDK.parent / "docs" / "api.md"
MARKER = "<!-- From here on written by sdk/manual.py out of sdk/operations.json. -->\n"
URL = "https://mail.example.com"

_GROUPS = {
    "keys": "API keys",
    "server": "Server",
    "users": "Users",
    "domains": "Domains",
    "aliases": "Aliases",
    "groups": "Groups",
    "queue": "Queue",
    "messages": "Messages",
    "webhooks": "Webhooks",
    "metrics": "Metrics",
    "security": "Security",
    "performance": "Performance",
    "health": "Health",
}
_GO = {"csv": "CSV", "ip": "IP", "ips": "IPs"}


def page(text: str) -> str:
    """Return the page with its operations as they are described now."""
    operations = json.loads((SDK / "operations.json").read_text())
    parts = [text.partition(MARKER)[0] + MARKER]
    for group, members in groupby(operations, lambda operation: operation["operation"].partition(".")[0]):
        parts.append(f"## {_GROUPS[group]}\n")
        parts += [_entry(operation) for operation in members]
    return "\n".join(parts)


def _entry(operation: dict[str, Any]) -> str:
    python = operation["operation"]
    javascript = re.sub(r"_(\w)", lambda found: found[1].upper(), python)
    go = ".".join("".join(_GO.get(word, word.title()) for word in part.split("_")) for part in python.split("."))
    clients = ", ".join(f"`{name}`" for name in dict.fromkeys((python, javascript, go)))
    lines = [
        f"### `{operation['method']} {operation['path']}`",
        "",
        operation["summary"],
        "",
        f"Permission: {_permission(operation)}. Answers {operation['status']}. In the clients: {clients}.",
        "",
        "```bash",
        _curl(operation),
        "```",
    ]
    answer = operation.get("answer")
    if isinstance(answer, str):
        lines += ["", "```", answer.rstrip(), "```"]
    elif answer is not None:
        lines += ["", "```json", json.dumps(answer, indent=2, ensure_ascii=False), "```"]
    return "\n".join(lines) + "\n"


def _permission(operation: dict[str, Any]) -> str:
    strict = f", in strict mode `{operation['strict']}`" if "strict" in operation else ""
    return "none" if operation["permission"] == "none" else f"`{operation['permission']}`{strict}"


def _curl(operation: dict[str, Any]) -> str:
    names = iter(operation["arguments"])
    target = re.sub(r"{\w+}", lambda _found: quote(next(names), safe=":"), operation["path"])
    if "query" in operation:
        target += f"?{urlencode(operation['query'], safe=':@')}"
    method = "" if operation["method"] == "GET" else f"-X {operation['method']} "
    address = URL + target
    parts = [f"curl {method}{shlex.quote(address)}"]
    if operation["permission"] != "none":
        parts.append('-H "Authorization: Bearer $API_KEY"')
    if "content" in operation:
        parts += [
            "-H 'Content-Type: text/csv'",
            f"--data-binary $'{operation['content'].encode('unicode_escape').decode()}'",
        ]
    if "body" in operation:
        body = json.dumps(operation["body"], ensure_ascii=False)
        parts += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(body)}"]
    return " \\\n  ".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
