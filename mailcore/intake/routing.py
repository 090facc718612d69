"""From recipients to destinations: which mailboxes and which queue entries a message becomes.

Whether an address is ours, and what it stands for, is said by ``accounts/addresses.py``; here that becomes rows to be.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from a3mailer_site.env import current
from a3mailer_site.ids import new_id
from accounts.addresses import LocalUser, Resolution, is_local_domain, resolve, resolve_cached, resolve_many
from domains.names import to_ascii
from mailcore.intake import return_path
from mailcore.message.envelope import Recipient, Reply
from mailcore.store.mailboxes import cached_inbox_id, inbox_id

RELAYING_DENIED = Reply(550, "5.7.1", "Relaying denied")
NO_SUCH_USER = Reply(550, "5.1.1", "No such mailbox here")
DISABLED = Reply(550, "5.2.1", "This mailbox is disabled")
ALIAS_LOOP = Reply(550, "5.4.6", "This address leads back to itself")
MAILBOX_FULL = Reply(452, "4.2.2", "The mailbox is full, try again later")
BAD_DESTINATION = Reply(550, "5.1.2", "This is no domain that mail can be sent to")

_REFUSALS = {"unknown": NO_SUCH_USER, "disabled": DISABLED, "loop": ALIAS_LOOP}


@dataclass(frozen=True, slots=True)
class Delivery:
    """A recipient that is a mailbox here."""

    trace_id: int
    recipient: str
    user_id: int
    mailbox_id: int
    quota: int


@dataclass(frozen=True, slots=True)
class Relay:
    """A recipient elsewhere: a queue entry to be."""

    trace_id: int
    recipient: str
    destination: str  # domain as A-labels, or an address literal in brackets
    orcpt: str = ""
    notify: frozenset[str] = frozenset()
    alias: str = ""  # the address here that stands for it
    return_path: str = ""  # the sender that it is handed on with; empty: that of the message


@dataclass(frozen=True, slots=True)
class Expansion:
    """An alias that stands for other recipients of the same message."""

    trace_id: int
    recipient: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a message goes. Each mailbox and each foreign address is in it once."""

    deliveries: tuple[Delivery, ...]
    relays: tuple[Relay, ...]
    expansions: tuple[Expansion, ...] = ()
    elsewhere: int = 0  # of the relays, those that leave this server


def refusal(resolution: Resolution, *, may_relay: bool, size: int) -> Reply | None:
    """Say why mail of ``size`` bytes cannot go where this resolution says; ``None`` when it can."""
    if resolution.status == "not_local":
        return None if may_relay else RELAYING_DENIED
    if resolution.status != "ok":
        return _REFUSALS[resolution.status]
    if resolution.users and not resolution.external and all(_full(user, size) for user in resolution.users):
        return MAILBOX_FULL
    return None


def _full(user: LocalUser, size: int) -> bool:
    # A mailbox takes its last message as long as it is not full yet; a declared size is held against the rest.
    return bool(user.quota) and (user.used_quota >= user.quota or user.used_quota + size > user.quota)


def destination_of(address: str) -> str:
    """Return the domain that an address elsewhere is delivered to; raises ``ValueError`` when it is none."""
    domain = address.rpartition("@")[2]
    if domain.startswith("["):
        return domain.lower()
    return to_ascii(domain)


def resolve_now(addresses: Iterable[str]) -> dict[str, Resolution] | None:
    """Resolve without the database; ``None`` when only the database knows (then call ``resolve_all`` in a thread)."""
    catch_all = current().catch_all
    found: dict[str, Resolution] = {}
    for address in addresses:
        resolution = resolve_cached(catch_all or address)
        if resolution is None or return_path.read(address) is not None:
            return None
        found[address] = resolution
    return found


def resolve_all(addresses: Iterable[str]) -> dict[str, Resolution]:
    """Resolve with the database. With ``A3MAILER_CATCH_ALL`` every address leads to that mailbox."""
    if catch_all := current().catch_all:
        return dict.fromkeys(addresses, resolve(catch_all))
    addresses = list(addresses)
    bounces = {address: found for address in addresses if (found := return_path.resolved(address)) is not None}
    return {**resolve_many([address for address in addresses if address not in bounces]), **bounces}


def plan_now(recipients: Iterable[Recipient]) -> Plan | None:
    """Plan without the database; ``None`` when only the database knows (then call ``plan`` in a thread)."""
    recipients = list(recipients)
    resolutions = resolve_now(recipient.address for recipient in recipients)
    if resolutions is None:
        return None
    inboxes: dict[int, int] = {}
    for resolution in resolutions.values():
        for user in resolution.users:
            inbox = cached_inbox_id(user.id)
            if inbox is None:
                return None
            inboxes[user.id] = inbox
    return _build(recipients, resolutions, inboxes)


def plan(recipients: Iterable[Recipient]) -> Plan:
    """Plan with the database: reads what is not cached, and makes the first mailboxes of new users."""
    recipients = list(recipients)
    resolutions = resolve_all(recipient.address for recipient in recipients)
    users = {user.id for resolution in resolutions.values() for user in resolution.users}
    return _build(recipients, resolutions, {user: inbox_id(user) for user in users})


def _build(recipients: Iterable[Recipient], resolutions: Mapping[str, Resolution], inboxes: Mapping[int, int]) -> Plan:
    deliveries: dict[int, Delivery] = {}
    relays: dict[str, Relay] = {}
    expansions: list[Expansion] = []
    for recipient in recipients:
        resolution = resolutions[recipient.address]
        if resolution.status == "not_local":
            _add_relay(relays, recipient.address, recipient)
            continue
        caught = any(user.id in deliveries for user in resolution.users)
        if resolution.external or len(resolution.users) != 1 or caught:
            expansions.append(Expansion(new_id(), recipient.address))
        for user in resolution.users:
            if user.id not in deliveries:
                alone = len(resolution.users) == 1 and not resolution.external
                address = recipient.address if alone else user.address
                deliveries[user.id] = Delivery(new_id(), address, user.id, inboxes[user.id], user.quota)
        for address in resolution.external:
            _add_relay(relays, address, recipient, alias=recipient.address)
    return Plan(tuple(deliveries.values()), tuple(relays.values()), tuple(expansions), len(relays))


def plan_later(recipients: Iterable[Recipient], domain: str) -> Plan:
    """Plan a message that nobody gets yet: whose mailbox is here has a place in the queue too, and may move meanwhile.

    ``domain`` is that of recipients without one (``postmaster``). Reads the database.
    """
    recipients = list(recipients)
    resolutions = resolve_all(recipient.address for recipient in recipients)
    relays: dict[str, Relay] = {}
    for recipient in recipients:
        address = recipient.address if "@" in recipient.address else f"{recipient.address}@{domain}"
        _add_relay(relays, address, recipient)
    elsewhere = sum(1 for found in resolutions.values() if found.status == "not_local" or found.external)
    return Plan((), tuple(relays.values()), (), elsewhere)


def _add_relay(relays: dict[str, Relay], address: str, asked: Recipient, alias: str = "") -> None:
    if address not in relays:
        relays[address] = Relay(new_id(), address, destination_of(address), asked.orcpt, asked.notify, alias)


def with_return_paths(plan: Plan, sender: str, tracked: str = "", trace: int | None = None) -> Plan:
    """Give recipients elsewhere return paths of our own: those of ``tracked``, a domain, or of what an alias passes on.

    A bounce keeps its null sender. A sender that is ours needs no other for SPF. ``trace`` is the one that they all
    belong to, else each has its own. May read the database.
    """
    if not sender or not plan.relays:
        return plan
    if tracked:
        paths = dict.fromkeys(plan.relays, tracked)
    elif current().rewrite_forwarded and not is_local_domain(sender.rpartition("@")[2]):
        paths = {relay: _domain(relay.alias) for relay in plan.relays if relay.alias}
    else:
        return plan
    relays = (
        replace(relay, return_path=return_path.write(trace or relay.trace_id, paths[relay]))
        if paths.get(relay)
        else relay
        for relay in plan.relays
    )
    return replace(plan, relays=tuple(relays))


def _domain(alias: str) -> str:
    name = alias.rpartition("@")[2]  # nothing before it in "postmaster"
    return to_ascii(name) if "@" in alias else ""
