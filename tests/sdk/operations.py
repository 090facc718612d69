"""The one description of the API that the clients are held to: ``sdk/operations.json``."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

SDK = Path(__file__).resolve().parents[2] / "sdk"


@dataclass(frozen=True)
class Operation:
    """How an operation is called in every language, and what then goes over the wire in both directions."""

    operation: str
    summary: str
    permission: str
    method: str
    path: str
    arguments: list[Any]
    status: int
    strict: str | None = None
    query: dict[str, Any] = field(default_factory=dict)
    body: Any = None
    content: str | None = None
    answer: Any = None

    def __str__(self):
        return self.operation

    @property
    def target(self):
        """The path with the sample's names in it."""
        names = iter(self.arguments)
        return re.sub(r"{\w+}", lambda _found: quote(next(names), safe=""), self.path)


OPERATIONS = [Operation(**entry) for entry in json.loads((SDK / "operations.json").read_text())]
