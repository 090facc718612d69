"""What answers are made of: JSON objects with their members as attributes."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from types import NoneType
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


class Record:
    """A JSON object. Members that this version does not know are there, too: ``record["member"]``.

    ``etag`` names the state that was read, for ``if_match`` in a change.
    """

    etag: str | None = None

    def __init__(self, members: Mapping[str, Any]) -> None:
        self._members = dict(members)
        hints = _hints(type(self))  # type: ignore[arg-type] # a class is hashable, whatever its objects are
        vars(self).update({name: _build(hints.get(name), value) for name, value in members.items()})

    def __getitem__(self, name: str) -> Any:
        self._members[name]  # KeyError for what is not there
        return vars(self)[name]

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and self._members == other._members

    # It can change, as a dict can.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._members!r})"

    def to_dict(self) -> dict[str, Any]:
        """Return the object as the server sent it."""
        return dict(self._members)


class Page(Record, Generic[T]):
    """One page of a list. Its rows are in the member named like the collection, and in ``rows``.

    A list that is too long to be counted ends at ``total``, and says so in ``total_is_exact``.
    """

    total: int
    page: int
    limit: int
    total_is_exact: bool = True

    @property
    def rows(self) -> list[T]:
        """The rows of this page."""
        return next(
            (value for name, value in vars(self).items() if name in self._members and isinstance(value, list)), []
        )


@cache
def _hints(kind: type["Record"]) -> dict[str, Any]:
    return get_type_hints(kind)


def build(kind: Any, value: Any, etag: str | None = None) -> Any:
    """Turn JSON into ``kind``."""
    built = _build(kind, value)
    if isinstance(built, Record):
        built.etag = etag
    return built


def _build(kind: Any, value: Any) -> Any:
    """Turn JSON into what a type says, as far as it fits: a server may be newer than this client."""
    if isinstance(kind, type) and issubclass(kind, Record) and isinstance(value, dict):
        return kind(value)
    if kind is datetime and isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            return value
    inner = [one for one in get_args(kind) if one is not NoneType]
    if get_origin(kind) is list and isinstance(value, list):
        return [_build(inner[0], one) for one in value]
    if get_origin(kind) is dict and isinstance(value, dict):
        return {name: _build(inner[1], one) for name, one in value.items()}
    if inner and value is not None and get_origin(kind) not in {list, dict}:
        return _build(inner[0], value)
    return value
