"""The charsets that mail names, mapped to Python's codecs.

A closed table: a name from a message is looked up here and never reaches ``codecs.lookup``, which would import a module
for it and remember every unknown name for ever. Codecs that are no charsets (``zlib``, ``rot13``) or that take more
than linear time (``idna``, ``punycode``) are not in it.
"""

from encodings.aliases import aliases
from functools import lru_cache
from typing import Final

_NO_CHARSETS: Final = frozenset(
    {"base64_codec", "bz2_codec", "hex_codec", "mbcs", "quopri_codec", "rot_13", "tactis", "uu_codec", "zlib_codec"}
)

# Labels that senders use and Python does not know, or that promise less than the bytes after them hold: what says
# Latin-1 is mostly windows-1252, what says GB 2312 mostly GB 18030 (as the WHATWG encoding standard has it).
_LABELS: Final = {
    "ansi": "cp1252",
    "ansi_x3.110_1983": "cp1252",
    "big5_eten": "big5",
    "cn_big5": "big5",
    "cn_gb": "gb2312",
    "cp51932": "euc_jp",
    "cseucpkdfmtjapanese": "euc_jp",
    "cp_1252": "cp1252",
    "dos_720": "cp720",
    "dos_862": "cp862",
    "gb_2312_80": "gb2312",
    "gb_2312": "gb2312",
    "iso_8859_11": "cp874",
    "iso_8859_6_e": "iso8859_6",
    "iso_8859_6_i": "iso8859_6",
    "iso_8859_8_e": "iso8859_8",
    "iso_8859_8_i": "iso8859_8",
    "koi": "koi8_r",
    "koi8": "koi8_r",
    "koi8_ru": "koi8_u",
    "ks_c_5601": "cp949",
    "ks_c_5601_1987": "cp949",
    "ks_c_5601_1989": "cp949",
    "latin": "latin_1",
    "logical": "iso8859_8",
    "mac": "mac_roman",
    "mac_ce": "mac_latin2",
    "mac_iceland": "mac_iceland",
    "mac_icelandic": "mac_iceland",
    "macintosh": "mac_roman",
    "ms_ansi": "cp1252",
    "ms_cyrl": "cp1251",
    "ms932": "cp932",
    "tis_620": "cp874",
    "unicode_1_1_utf_7": "utf_7",
    "unicode_1_1_utf_8": "utf_8",
    "unicode_2_0_utf_7": "utf_7",
    "unicode_2_0_utf_8": "utf_8",
    "utf_8n": "utf_8",
    "utf8mb4": "utf_8",
    "visual": "iso8859_8",
    "win_1250": "cp1250",
    "win_1251": "cp1251",
    "win_1252": "cp1252",
    "windows_31j": "cp932",
    "x_x_big5": "big5",
    "windows_874": "cp874",
    "windows_932": "cp932",
    "windows_936": "gb18030",
    "windows_949": "cp949",
    "windows_950": "cp950",
}
# Codecs that have no alias in Python's table.
_OTHERS: Final = (
    *("cp720", "cp737", "cp856", "cp874", "cp875", "cp1006", "koi8_t", "koi8_u", "utf_8_sig"),
    *("mac_arabic", "mac_croatian", "mac_farsi", "mac_romanian"),
)
_WIDER: Final = {"latin_1": "cp1252", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949"}


_SAME: Final = str.maketrans("- .:", "____")


def _key(label: str) -> str:
    return label.strip(" \t\"'").lower().translate(_SAME)


def _table() -> dict[str, str]:
    known = {name: codec for name, codec in aliases.items() if codec not in _NO_CHARSETS}
    known |= {codec: codec for codec in (*known.values(), *_OTHERS)}
    return {_key(name): _WIDER.get(codec, codec) for name, codec in (known | _LABELS).items()}


_CODECS: Final = _table()


# No label is longer.
_LONGEST: Final = 40


def _codec(label: str) -> str | None:
    return _codec_of(label) if len(label) <= _LONGEST else None


@lru_cache(1024)
def _codec_of(label: str) -> str | None:
    key = _key(label)
    # Private names (x-sjis, x-mac-cyrillic) mostly are what the rest of the name says.
    return _CODECS.get(key) or _CODECS.get(key.removeprefix("x_").replace("cp_", "cp"))


def is_known(charset: str) -> bool:
    """Say whether ``decode`` has a codec of its own for this label."""
    return _codec(charset) is not None


def decode(data: bytes, charset: str) -> str:
    """Decode bytes by a charset label from a message. Never raises; the result can always be encoded to UTF-8.

    An unknown label, and US-ASCII with 8-bit bytes in it, are read as UTF-8 or else windows-1252. Bytes that the
    charset does not have become U+FFFD.
    """
    codec = _codec(charset)
    if codec is None or codec == "ascii":
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
