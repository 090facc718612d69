"""How full a user's mailboxes are: GETQUOTA, GETQUOTAROOT (RFC 9208).

Each user has one quota root, named as the user is, and mailboxes belong to that of their owner. Quotas are set in the
administration, which knows the limits of domains: SETQUOTA is refused, and QUOTASET not announced.
"""

from mailcore.imap import responses
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.imap.questions import GetQuota, GetQuotaRoot, Quota
from mailcore.imap.talk import AFTER_LOGIN, Command, Exchange, Talk

# RFC 9208 section 5.1: STORAGE is told in units of so many octets.
_UNIT = 1024


def _getquota(talk: Talk, arguments: Parser) -> Exchange:
    """Tell usage and limits of a root: ``getquota = "GETQUOTA" SP quota-root-name``."""
    arguments.space()
    root = _root_name(arguments)
    arguments.end()
    quota: Quota = yield GetQuota(talk.account, root)
    yield _quota_line(quota)
    return responses.completed(b"GETQUOTA")


def _getquotaroot(talk: Talk, arguments: Parser) -> Exchange:
    """Tell the root of a mailbox, and how full it is: ``getquotaroot = "GETQUOTAROOT" SP mailbox``."""
    arguments.space()
    name = arguments.mailbox()
    arguments.end()
    quota: Quota | None = yield GetQuotaRoot(talk.account, name)
    written = talk.mailbox_name(name)
    if quota is None:
        yield responses.untagged(b"QUOTAROOT " + written)
    else:
        yield responses.untagged(b"QUOTAROOT %b %b" % (written, responses.astring(quota.root.encode())))
        yield _quota_line(quota)
    return responses.completed(b"GETQUOTAROOT")


def _setquota(_talk: Talk, arguments: Parser) -> bytes:
    """Refuse: quotas are not set by mail clients."""
    arguments.space()
    _root_name(arguments)
    return responses.QUOTA_IS_NOT_SET_HERE


def _root_name(arguments: Parser) -> str:
    """Take ``quota-root-name = astring``."""
    try:
        return arguments.astring().decode("utf-8")
    except UnicodeDecodeError:
        raise SyntaxRefusedError("Quota root is not UTF-8") from None


def _quota_line(quota: Quota) -> bytes:
    """Write ``quota-response``: only what has a limit. What is used is rounded up, what may be used is not."""
    resources = []
    if quota.size_limit:
        resources.append(b"STORAGE %d %d" % (-(-quota.size // _UNIT), quota.size_limit // _UNIT))
    if quota.messages_limit:
        resources.append(b"MESSAGE %d %d" % (quota.messages, quota.messages_limit))
    return b"* QUOTA %b (%b)\r\n" % (responses.astring(quota.root.encode()), b" ".join(resources))


COMMANDS = {
    b"GETQUOTA": Command(_getquota, AFTER_LOGIN),
    b"GETQUOTAROOT": Command(_getquotaroot, AFTER_LOGIN),
    b"SETQUOTA": Command(_setquota, AFTER_LOGIN),
}
