"""Access control lists: SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS (RFC 4314).

An identifier is a login name or address, ``$`` and the name of a group, or ``anyone``: who is in the domain of the
mailbox's owner. With ``-`` before it the rights are taken away, whatever other entries give.
"""

from mailcore.imap import responses
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.imap.questions import Acl, ChangeAcl, GetAcl, Grantable, ListRights, MyRights
from mailcore.imap.talk import AFTER_LOGIN, Command, Exchange, Talk
from mailcore.store.rights import OBSOLETE, ordered, told

# Octets; an address has at most 254, a group's name 150 signs.
_IDENTIFIER_LIMIT = 1000


def _setacl(talk: Talk, arguments: Parser) -> Exchange:
    """Give, add or take rights: ``setacl = "SETACL" SP mailbox SP identifier SP mod-rights``."""
    arguments.space()
    name = arguments.mailbox()
    arguments.space()
    identifier = _identifier(arguments)
    arguments.space()
    mode, rights = _mod_rights(arguments)
    arguments.end()
    yield ChangeAcl(talk.account, name, identifier, mode, rights, talk.peer.address)
    return responses.completed(b"SETACL")


def _deleteacl(talk: Talk, arguments: Parser) -> Exchange:
    """Remove an entry: ``deleteacl = "DELETEACL" SP mailbox SP identifier``."""
    arguments.space()
    name = arguments.mailbox()
    arguments.space()
    identifier = _identifier(arguments)
    arguments.end()
    yield ChangeAcl(talk.account, name, identifier, "", "", talk.peer.address)
    return responses.completed(b"DELETEACL")


def _getacl(talk: Talk, arguments: Parser) -> Exchange:
    """Tell who may do what: ``getacl = "GETACL" SP mailbox``."""
    arguments.space()
    name = arguments.mailbox()
    arguments.end()
    acl: Acl = yield GetAcl(talk.account, name)
    pairs = b"".join([b" %b %b" % (_written(who), _rights(rights)) for who, rights in acl.entries])
    yield b"* ACL %b%b\r\n" % (talk.mailbox_name(name), pairs)
    return responses.completed(b"GETACL")


def _listrights(talk: Talk, arguments: Parser) -> Exchange:
    """Tell what may be given to an identifier: ``listrights = "LISTRIGHTS" SP mailbox SP identifier``.

    No rights are tied together, so each stands alone; the obsolete ones are told too (RFC 4314 section 2.1.1).
    """
    arguments.space()
    name = arguments.mailbox()
    arguments.space()
    identifier = _identifier(arguments)
    arguments.end()
    found: Grantable = yield ListRights(talk.account, name, identifier)
    always = _rights(found.always) if found.always else b'""'
    possible = "".join((*found.possible, *(OBSOLETE if found.possible else ())))
    listed = b" ".join([talk.mailbox_name(name), _written(identifier), always, *_each(possible)])
    yield responses.untagged(b"LISTRIGHTS " + listed)
    return responses.completed(b"LISTRIGHTS")


def _myrights(talk: Talk, arguments: Parser) -> Exchange:
    """Tell what the account may do in a mailbox: ``myrights = "MYRIGHTS" SP mailbox``."""
    arguments.space()
    name = arguments.mailbox()
    arguments.end()
    rights: str = yield MyRights(talk.account, name)
    yield myrights_line(talk, name, rights)
    return responses.completed(b"MYRIGHTS")


def myrights_line(talk: Talk, name: str, rights: str) -> bytes:
    """Write a MYRIGHTS response."""
    return b"* MYRIGHTS %b %b\r\n" % (talk.mailbox_name(name), _rights(rights))


def _identifier(arguments: Parser) -> str:
    octets = arguments.astring()
    try:
        identifier = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise SyntaxRefusedError("Identifier is not UTF-8") from None
    # RFC 4314 section 3 would have SASLprep refuse these; how letters are folded is for whoever looks for the user.
    if not identifier.removeprefix("-") or len(octets) > _IDENTIFIER_LIMIT or not identifier.isprintable():
        raise SyntaxRefusedError("Not an identifier")
    return identifier


def _mod_rights(arguments: Parser) -> tuple[str, str]:
    """Take ``mod-rights = astring``: "+" to add, "-" to remove, else to replace; each letter must be known."""
    text = arguments.astring().decode("ascii", "replace")
    mode = text[:1] if text[:1] in {"+", "-"} else ""
    try:
        return mode, ordered(text.removeprefix(mode))
    except ValueError:
        raise SyntaxRefusedError("Right is not supported") from None


def _written(identifier: str) -> bytes:
    return responses.astring(identifier.encode())


def _rights(rights: str) -> bytes:
    return told(rights).encode("ascii") or b'""'


def _each(rights: str) -> list[bytes]:
    return [right.encode("ascii") for right in rights]


COMMANDS = {
    b"SETACL": Command(_setacl, AFTER_LOGIN),
    b"DELETEACL": Command(_deleteacl, AFTER_LOGIN),
    b"GETACL": Command(_getacl, AFTER_LOGIN),
    b"LISTRIGHTS": Command(_listrights, AFTER_LOGIN),
    b"MYRIGHTS": Command(_myrights, AFTER_LOGIN),
}
