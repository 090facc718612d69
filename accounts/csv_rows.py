"""Users in a CSV file: RFC 4180, UTF-8 with or without a byte order mark, the first line names the fields.

``username,email,password,quota,enabled,groups``, in any order; the last three may be left out, as a column or as an
empty cell. Groups are separated by semicolons. What is a text here becomes what it would be in JSON, and no more: the
serializer judges it.
"""

import csv
import io
import re
from collections.abc import Mapping
from typing import IO, Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

REQUIRED = ("username", "email", "password")
FIELDS = (*REQUIRED, "quota", "enabled", "groups")
_NUMBER = re.compile(r"-?[0-9]{1,30}", re.ASCII)
_SWITCHES = {"true": True, "1": True, "false": False, "0": False}


class CsvParser(BaseParser):
    """``text/csv``: a list with a mapping for each row, or the exception that says what is wrong with it."""

    media_type = "text/csv"

    def parse(  # type: ignore[override] # the stubs know of mappings only
        self,
        stream: IO[Any],
        media_type: str | None = None,  # noqa: ARG002 - the framework passes them
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> list[Any]:
        """Parse the whole file; raises ``ParseError`` (400) for what is no such file."""
        try:
            text = stream.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ParseError(_("The file is not UTF-8.")) from error
        if "\0" in text:
            raise ParseError(_("There is a character in the text that cannot be stored."))
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            lines = [cells for cells in reader if cells]
        except csv.Error as error:
            raise ParseError(_("Line %(line)s is not CSV.") % {"line": reader.line_num}) from error
        if not lines:
            raise ParseError(_("The file is empty."))
        names = _header(lines[0])
        return [_row(names, cells) for cells in lines[1:]]


def _header(cells: list[str]) -> list[str]:
    names = [cell.strip().lower() for cell in cells]
    if unknown := [name for name in names if name not in FIELDS]:
        raise ParseError(_("The first line names %(name)s, which is no field.") % {"name": repr(unknown[0][:60])})
    if len(set(names)) < len(names):
        raise ParseError(_("The first line names a field twice."))
    if missing := [name for name in REQUIRED if name not in names]:
        raise ParseError(_("The first line does not name %(name)s.") % {"name": missing[0]})
    return names


def _row(names: list[str], cells: list[str]) -> dict[str, Any] | serializers.ValidationError:
    if len(cells) != len(names):
        counts = {"found": len(cells), "expected": len(names)}
        return serializers.ValidationError(_("There are %(found)s cells and not %(expected)s.") % counts)
    return {name: _value(name, cell) for name, cell in zip(names, cells, strict=True) if cell or name in REQUIRED}


def _value(name: str, cell: str) -> Any:
    """Read a cell; what cannot be read stays a text, which the serializer refuses with the field named."""
    if name == "quota":
        return int(cell) if _NUMBER.fullmatch(cell.strip()) else cell
    if name == "enabled":
        return _SWITCHES.get(cell.strip().lower(), cell)
    if name == "groups":
        return [group for part in cell.split(";") if (group := part.strip())]
    return cell
