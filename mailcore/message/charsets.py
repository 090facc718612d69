"""The charsets that mail names, mapped to Python's codecs.

A closed table: a name from a message is looked up here and never reaches ``codecs.lookup``, which would import a module
for it and remember every unknown name for ever. Codecs that are no charsets (``zlib``, ``rot13``) or that take more
than linear time (``idna``, ``punycode``) are not in it.
"""

from encodings.aliases import aliases
from typing import Final

_NO_CHARSETS: Final = frozenset(
    {"base64_codec", "bz2_codec", "hex_codec", "mbcs", "quopri_codec", "rot_13", "tactis", "uu_codec", "zlib_codec"}
)

# Labels that senders use and Python does not know, or that promise less than the bytes after them hold: what says
# Latin-1 is mostly windows-1252, what says GB 2312 mostly GB 18030 (as the WHATWG encoding standard has it).
_LABELS: Final = {
    "ansi": "cp1252",
    "cp_1252": "cp1252",
    "cp874": "cp874",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_11": "cp874",
    "tis_620": "cp874",
    "windows_874": "cp874",
    "koi8_t": "koi8_t",
    "koi8_u": "koi8_u",
    "ks_c_5601_1987": "cp949",
    "ks_c_5601": "cp949",
    "x_gbk": "gb18030",
    "x_sjis": "cp932",
    "x_euc_jp": "euc_jp",
    "x_mac_roman": "mac_roman",
    "macintosh": "mac_roman",
    "unicode_1_1_utf_7": "utf_7",
    "utf_8_sig": "utf_8_sig",
    "utf_8n": "utf_8",
    "x_utf_8": "utf_8",
}
_WIDER: Final = {"latin_1": "cp1252", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949"}


def _key(label: str) -> str:
    return label.strip().lower().replace("-", "_").replace(" ", "_").replace(".", "_")


def _table() -> dict[str, str]:
    known = {name: codec for name, codec in aliases.items() if codec not in _NO_CHARSETS}
    known |= {codec: codec for codec in known.values()}
    return {_key(name): _WIDER.get(codec, codec) for name, codec in (known | _LABELS).items()}


_CODECS: Final = _table()


def is_known(charset: str) -> bool:
    """Say whether ``decode`` has a codec of its own for this label."""
    return _key(charset) in _CODECS


def decode(data: bytes, charset: str) -> str:
    """Decode bytes by a charset label from a message. Never raises; the result can always be encoded to UTF-8.

    An unknown label, and US-ASCII with 8-bit bytes in it, are read as UTF-8 or else windows-1252. Bytes that the
    charset does not have become U+FFFD.
    """
    codec = _CODECS.get(_key(charset), "ascii")
    if codec == "ascii":
        return guess(data)
    try:
        text = data.decode(codec, "replace")
    except (UnicodeError, LookupError, ValueError):  # a codec that does not honour "replace"
        return guess(data)
    if codec == "utf_7":  # the one codec that lets lone surrogates through
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def decode_strictly(data: bytes, charset: str) -> str:
    """Decode bytes that must be what ``charset`` says, one that ``is_known``. Raises ``ValueError``.

    US-ASCII may be UTF-8, which begins with it.
    """
    codec = _CODECS[_key(charset)]
    text = data.decode("utf-8" if codec == "ascii" else codec)
    text.encode()  # UTF-7 lets lone surrogates through
    return text


def guess(data: bytes) -> str:
    """Decode bytes of which nothing is known: UTF-8 if they are that, else windows-1252. Never raises."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")
