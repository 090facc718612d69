"""JSON as requests may have it: at most 64 levels deep, and text that every database takes."""

from collections.abc import Mapping
from typing import IO, Any

from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

MAX_DEPTH = 64


class StrictJSONParser(JSONParser):
    """The only form in which the API takes anything."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Parse, then look at every text; raises ``ParseError`` (400)."""
        try:
            value = super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise ParseError(_("The JSON is nested too deeply.")) from error
        except ParseError as error:
            # The parser's own text is in English and about columns.
            raise ParseError(_("The body is not JSON.")) from error
        _inspect(value)
        return value


def _inspect(value: Any) -> None:
    """Refuse depth, and what only one of our databases would store: NUL and lone surrogates."""
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
        if not following:
            return
        level = following
    raise ParseError(_("The JSON is nested too deeply."))
