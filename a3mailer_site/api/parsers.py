"""JSON as requests may have it: each name once, at most 64 levels deep, finite numbers, text for every database."""

import codecs
import json
import math
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

MAX_DEPTH = 64


class StrictJSONParser(JSONParser):
    """The only form in which the API takes anything."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,  # noqa: ARG002 - the framework passes it
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> Any:
        """Parse, then look at every value; raises ``ParseError`` (400)."""
        try:
            # RFC 8259 section 8.1: JSON between systems is UTF-8, whatever the header says of it.
            text = codecs.getreader("utf-8")(stream).read()
            value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)
        except RecursionError as error:
            raise ParseError(_("The JSON is nested too deeply.")) from error
        except ValueError as error:
            # The parser's own text is in English and about columns.
            raise ParseError(_("The body is not JSON.")) from error
        _inspect(value)
        return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its members; of two with one name nobody could say which is meant (RFC 8259 section 4)."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ParseError(_("A name occurs twice in one object of the JSON."))
    return members


def _inspect(value: Any) -> None:
    """Refuse depth, infinity, and what only one of our databases would store: NUL and lone surrogates."""
    level = [value]
    for _depth in range(MAX_DEPTH + 1):
        following: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                following += item.keys()
                following += item.values()
            elif isinstance(item, list):
                following += item
            elif isinstance(item, str) and ("\0" in item or any("\ud800" <= sign <= "\udfff" for sign in item)):
                raise ParseError(_("There is a character in the text that cannot be stored."))
            elif isinstance(item, float) and not math.isfinite(item):
                raise ParseError(_("A number is out of range."))
        if not following:
            return
        level = following
    raise ParseError(_("The JSON is nested too deeply."))
