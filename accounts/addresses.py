"""Where mail to an address goes, and who may send as whom: the one resolver.

Cached is who an address is (``Generation("addresses")`` ends that), never how full a mailbox is: ``used_quota`` is read
anew, or was read less than a second ago. The transaction that delivers decides about quota; here it is an early word.

An exact address wins over one with its tag stripped, that over the postmaster of RFC 5321 section 4.5.1, and that over
the domain's catch-all. Nothing in a local part is ever read as a route: ``user%other@here`` is a name like any other.
"""

import re
import time
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal, TypeAlias

from django.core.exceptions import ValidationError
from django.db import connection
from django.utils.translation import gettext as _

from a3mailer_site.caches import SLOT, Allotment, Cache, text_size
from a3mailer_site.env import current
from a3mailer_site.generations import Watch, listen
from accounts.models import Alias, User
from domains.models import Domain
from domains.names import to_ascii

Status: TypeAlias = Literal["ok", "unknown", "disabled", "not_local", "loop"]

# Aliases of aliases deeper than this are taken for a loop.
MAX_DEPTH = 10
# RFC 5321 section 4.5.3.1: octets of a local part, and of a path without its angle brackets.
MAX_LOCAL_PART = 64
MAX_ADDRESS = 254
# Seconds for which a mailbox's fill level may be used again.
_FILL_AGE = 1.0

# RFC 5322 section 3.2.3 with RFC 6531 section 3.3: dot-atom = 1*atext *("." 1*atext), atext also any non-ASCII.
_DOT_ATOM = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+)*")
# RFC 5321 section 4.1.2: Quoted-string = DQUOTE *(qtextSMTP / quoted-pairSMTP) DQUOTE
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e\x80-\U0010ffff]|\\[\x20-\x7e])*)"')
_QUOTED_PAIR = re.compile(r"\\(.)")
_TO_QUOTE = re.compile(r'[\\"]')
# Signs that other servers once took for a route; an address of ours has none of them.
_ROUTE_SIGNS = frozenset('%!@:"')


@dataclass(frozen=True, slots=True)
class LocalUser:
    """Somebody whose mailbox takes the mail. Quotas in bytes; without a ``quota`` the ``used_quota`` is not read."""

    id: int
    address: str
    quota: int
    used_quota: int = 0


@dataclass(frozen=True, slots=True)
class Resolution:
    """Where mail to an address goes. Only "ok" has users or external addresses.

    "not_local": the domain is not ours, so it is for submission alone to decide. "unknown", "disabled" and "loop"
    are ours and take no mail.
    """

    status: Status
    users: tuple[LocalUser, ...] = ()
    external: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Domain:
    enabled: bool
    separator: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """What one address is: a user's, or an alias with its targets."""

    enabled: bool
    user: LocalUser | None = None
    targets: tuple[str, ...] = ()


def _entry_size(address: str, entry: _Entry | None) -> int:
    """Estimate the bytes of an entry: the address, the objects, and what they refer to."""
    if entry is None:
        return SLOT + text_size(address)
    return SLOT + 160 + text_size(address) + sum(text_size(target) for target in entry.targets)


def _end_size(address: str, end: tuple[Resolution, Allotment]) -> int:
    """Estimate the bytes of a resolution; its users and targets are mostly those of the entries."""
    resolution = end[0]
    return SLOT + 240 + text_size(address) + 16 * (len(resolution.users) + len(resolution.external))


@dataclass(slots=True)
class _Directory:
    """What is known of addresses since the last change. Replaced whole, so whoever fills an old one does no harm.

    An address is in ``users`` when it is a user's or nobody's, and in ``aliases`` when it is an alias or a catch-all.
    """

    domains: dict[str, _Domain] | None = None
    users: Cache[str, _Entry | None] = field(default_factory=lambda: Cache(_USERS, _entry_size, 0.5))
    aliases: Cache[str, _Entry | None] = field(default_factory=lambda: Cache(_DOMAINS, _entry_size))
    # By address as written, where no quota is in play; with what kind of lookup it was.
    ends: Cache[str, tuple[Resolution, Allotment]] = field(default_factory=lambda: Cache(_USERS, _end_size, 0.5))
    postmaster: LocalUser | None = None
    fill: dict[int, tuple[float, int]] = field(default_factory=dict)  # user id: monotonic time, bytes used
    # What was read for the question in hand, which is answered even when the caches have no room.
    read: dict[str, _Entry | None] | None = None

    def __contains__(self, address: str) -> bool:
        return address in self.users or address in self.aliases or (self.read is not None and address in self.read)

    def entry(self, address: str) -> _Entry | None:
        """Return what is remembered of an address; raises ``_MissingError`` when that is nothing."""
        if self.read is not None and address in self.read:
            return self.read[address]
        known = self.users.get(address, _UNKNOWN)
        if known is _UNKNOWN:
            known = self.aliases.get(address, _UNKNOWN)
        if known is _UNKNOWN:
            raise _MissingError({address})
        return known

    def remember(self, address: str, entry: _Entry | None) -> None:
        """Keep what an address is, ``None`` for nothing."""
        if self.read is not None:
            self.read[address] = entry
        is_alias = address.startswith("@") or (entry is not None and entry.user is None)
        (self.aliases if is_alias else self.users).put(address, entry)

    def kind(self, keys: Sequence[str] | None) -> Allotment:
        """Say what kind of lookup it was that began with these keys: of a domain or an alias, or else of a user."""
        if not keys or keys[0] in self.aliases:
            return _DOMAINS
        read = self.read.get(keys[0]) if self.read is not None else None
        return _DOMAINS if read is not None and read.user is None else _USERS


_UNKNOWN = _Entry(enabled=False)
# What is looked up counts once: under "domain" when a domain or an alias answered, else under "user".
_USERS: Allotment = Allotment("user", 0.7, lambda: [_directory.users, _directory.ends])
_DOMAINS: Allotment = Allotment("domain", 0.25, lambda: [_directory.aliases])


class _MissingError(Exception):
    """The directory lacks these addresses."""

    def __init__(self, addresses: Collection[str]) -> None:
        self.addresses = addresses


_watch = Watch("addresses")
_directory: _Directory = _Directory()


def forget() -> None:
    """Forget everything that is cached."""
    global _directory  # noqa: PLW0603
    _directory = _Directory()


listen("addresses", forget)


def fold(text: str) -> str:
    """Return text in the one form in which names are compared: caseless (Unicode D145), then composed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


@lru_cache(maxsize=20_000)
def normalize(address: str) -> str:
    """Return the canonical form: local part without case and needless quotes, domain as lower-case A-labels.

    Raises ``ValueError`` for what is no ``local-part@domain``: source routes, address literals, a trailing dot,
    control characters, parts that are too long.
    """
    local, at, domain = address.rpartition("@")
    if not at or not local:
        raise ValueError("this is not of the form name@domain")
    domain = _domain_name(domain)
    local = fold(local)
    # Categories C (control, unassigned, surrogate, invisible) and Z (spaces of all kinds): nobody can see or type them.
    if any(unicodedata.category(sign)[0] in "CZ" and sign != " " for sign in local):
        raise ValueError("there are control characters or spaces in the name")
    quoted = _QUOTED.fullmatch(local)
    if quoted:
        plain = _QUOTED_PAIR.sub(r"\1", quoted[1])
        local = plain if _DOT_ATOM.fullmatch(plain) else '"' + _TO_QUOTE.sub(r"\\\g<0>", plain) + '"'
    elif not _DOT_ATOM.fullmatch(local):
        raise ValueError("the part before the @ is no name")
    if len(local.encode()) > MAX_LOCAL_PART or len(local.encode()) + 1 + len(domain) > MAX_ADDRESS:
        raise ValueError("the address is too long")
    return f"{local}@{domain}"


def hold_domains(*addresses: str) -> None:
    """Keep everybody else from claiming an address in the domains of these, until the caller's transaction ends.

    Call it before ``claim_address``, for all addresses at once: who waits here sees afterwards what the others have
    claimed, and whether the domain is still there. Without a transaction (a rehearsal) nothing is held.
    """
    # On SQLite there is one writer, and it has the database from the beginning of its transaction.
    if not connection.in_atomic_block or not connection.features.has_select_for_update:
        return
    names = {name for name in map(_home, addresses) if name}
    if names:
        list(Domain.objects.select_for_update().filter(name__in=names).order_by("pk").values_list("pk"))


def _home(address: str) -> str | None:
    """Return the domain of what may be an address."""
    try:
        return _normalize_alias(address).rpartition("@")[2]
    except ValueError:
        return None


def claim_address(address: str, user: User | None = None, alias: Alias | None = None) -> tuple[str, Domain]:
    """Return the canonical address and its domain, if ``user`` or ``alias`` may have it.

    Only an alias may be a catch-all (``@example.com``). Raises ``ValidationError`` when the address is none, its
    domain is not here, or somebody else has it.
    """
    catch_all = alias is not None and address.strip().startswith("@")
    try:
        canonical = _normalize_alias(address) if catch_all else normalize(address.strip())
    except ValueError as error:
        raise ValidationError(_("This is not a mail address."), code="invalid") from error
    local, _at, name = canonical.rpartition("@")
    if _ROUTE_SIGNS.intersection(local):
        raise ValidationError(_('The part before the @ must not contain any of % ! @ : ".'), code="invalid")
    domain = Domain.objects.filter(name=name).first()
    if domain is None:
        raise ValidationError(_("There is no domain %(name)s here."), code="no_domain", params={"name": name})
    # Rows are never numbered 0: a new one has no other self to leave out.
    own_user, own_alias = (row.pk or 0 if row else 0 for row in (user, alias))
    users = User.objects.filter(email=canonical).exclude(pk=own_user)
    # A login may be a name or an address: one person's name must not be another's address.
    names = User.objects.filter(username=canonical).exclude(pk=own_user)
    aliases = Alias.objects.filter(address=canonical).exclude(pk=own_alias)
    if users.exists() or aliases.exists() or (alias is None and names.exists()):
        raise ValidationError(_("The address %(address)s is taken."), code="unique", params={"address": canonical})
    return canonical, domain


def find_alias(address: str) -> Alias | None:
    """Return the alias of exactly this address (``@example.com``: the catch-all), however it is spelled."""
    try:
        return Alias.objects.filter(address=_normalize_alias(address)).first()
    except ValueError:
        return None


def _normalize_alias(address: str) -> str:
    text = address.strip()
    return f"@{_domain_name(text[1:])}" if text.startswith("@") else normalize(text)


def is_local_domain(domain: str) -> bool:
    """Say whether mail for this domain ends here, enabled or not. May ask the database."""
    try:
        name = _domain_name(domain)
    except ValueError:
        return False
    directory, begun = _looked_at(), _DOMAINS.begin()
    known = directory.domains is not None
    found = name in _domains(directory)
    (_DOMAINS.hit if known else _DOMAINS.miss)(begun)
    return found


def resolve(address: str) -> Resolution:
    """Say where mail to this address goes, aliases expanded. Asks the database for what is not cached."""
    return resolve_many([address])[address]


def resolve_many(addresses: Iterable[str]) -> dict[str, Resolution]:
    """Resolve several addresses with a few queries for all of them together."""
    directory, begun = _looked_at(), _USERS.begin()
    known = directory.domains is not None
    _domains(directory)
    directory = replace(directory, read={})
    wanted = {address: _starting_points(directory, address) for address in addresses}
    missing = {key for keys in wanted.values() for key in keys or () if key not in directory}
    _load(directory, missing)
    found = {address: _expand_loading(directory, keys) for address, keys in wanted.items()}
    for keys in wanted.values():
        kind = directory.kind(keys)
        (kind.hit if known and missing.isdisjoint(keys or ()) else kind.miss)(begun)
        begun = 0.0
    limited = {user.id for resolution in found.values() for user in resolution.users if user.quota}
    if limited:
        now = time.monotonic()
        used = User.objects.filter(pk__in=limited).values_list("pk", "used_quota")
        directory.fill.update((pk, (now, size)) for pk, size in used)
    return {address: _filled(directory, resolution, age=None) or resolution for address, resolution in found.items()}


def resolve_cached(address: str) -> Resolution | None:
    """Resolve without the database, for the reactor's thread; ``None`` when that cannot be: then call ``resolve``."""
    directory = _directory
    if not _watch.fresh or directory.domains is None:
        return None
    begun = _USERS.begin()
    known = directory.ends.get(address)
    if known is not None:
        known[1].hit(begun)
        return known[0]
    keys = _starting_points(directory, address)
    try:
        resolution = _expand(directory, keys)
    except _MissingError:
        return None  # ``resolve`` counts it as missed
    if any(user.quota for user in resolution.users):
        filled = _filled(directory, resolution, age=_FILL_AGE)
        if filled is not None:
            directory.kind(keys).hit(begun)
        return filled
    directory.kind(keys).hit(begun)
    directory.ends.put(address, (resolution, directory.kind(keys)))
    return resolution


def may_send_as(user_id: int, address: str) -> bool:
    """Say whether the user may write as this address: the own one, an alias that leads to the user, tags included."""
    return any(user.id == user_id for user in resolve(address).users)


def _domain_name(text: str) -> str:
    """Read a domain as it stands in an address, where nothing may surround it and no dot may end it."""
    if text != text.strip() or text.endswith("."):
        raise ValueError("this is no domain name")
    return to_ascii(text)


def _looked_at() -> _Directory:
    _watch.look()
    return _directory


def _domains(directory: _Directory) -> dict[str, _Domain]:
    if directory.domains is None:
        administrator = (
            User.objects.filter(is_active=True, is_staff=True, email__isnull=False, domain__enabled=True)
            .order_by("pk")
            .values_list("pk", "email", "quota")
            .first()
        )
        if administrator is not None:
            directory.postmaster = LocalUser(administrator[0], administrator[1] or "", administrator[2])
        directory.domains = {
            name: _Domain(enabled, separator)
            for name, enabled, separator in Domain.objects.order_by("pk").values_list("name", "enabled", "separator")
        }
    return directory.domains


def _starting_points(directory: _Directory, address: str) -> Sequence[str] | None:
    """Return the keys under which an address may be found, the best first; ``None`` when it is not ours."""
    domains = directory.domains or {}
    if fold(address) == "postmaster":
        # RFC 5321 section 4.5.1: the one name that needs no domain.
        own = current().host_name.lower()
        home = next((name for name in domains if own == name or own.endswith(f".{name}")), next(iter(domains), None))
        return None if home is None else _keys(domains[home], "postmaster", home)
    try:
        canonical = normalize(address)
    except ValueError:
        return None
    local, _at, name = canonical.rpartition("@")
    return _keys(domains[name], local, name) if name in domains else None


def _keys(domain: _Domain, local: str, name: str) -> Sequence[str]:
    if _ROUTE_SIGNS.intersection(local):
        return ()
    keys = [f"{local}@{name}"]
    user, separator, _tag = local.partition(domain.separator) if domain.separator else (local, "", "")
    if separator and user:
        keys.append(f"{user}@{name}")
    return [*keys, f"@{name}"]


def _expand_loading(directory: _Directory, keys: Sequence[str] | None) -> Resolution:
    for _level in range(2 * MAX_DEPTH + 2):
        try:
            return _expand(directory, keys)
        except _MissingError as missing:
            _load(directory, missing.addresses)
    raise RuntimeError("aliases have more levels than they can have")


def _expand(directory: _Directory, keys: Sequence[str] | None) -> Resolution:
    """Follow aliases to their ends. Raises ``_MissingError`` with the addresses that the directory lacks."""
    if keys is None:
        return Resolution("not_local")
    expansion = _Expansion(directory)
    level = [_Step(keys, frozenset())]
    for _depth in range(MAX_DEPTH + 1):
        level = expansion.follow(level)
        if not level:
            break
    else:
        expansion.problems.add("loop")
    if expansion.users or expansion.external:
        return Resolution("ok", tuple(expansion.users.values()), tuple(expansion.external))
    order: tuple[Status, ...] = ("loop", "disabled")
    return Resolution(next((status for status in order if status in expansion.problems), "unknown"))


@dataclass(frozen=True, slots=True)
class _Step:
    """An address to look at, and the aliases that led to it."""

    keys: Sequence[str]
    path: frozenset[str]


@dataclass(slots=True)
class _Expansion:
    """What has been found so far on the way from one address to all that it stands for."""

    directory: _Directory
    users: dict[int, LocalUser] = field(default_factory=dict)
    external: dict[str, None] = field(default_factory=dict)
    problems: set[Status] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)

    def follow(self, level: Sequence[_Step]) -> list[_Step]:
        """Look at all addresses of one level; return those of the next."""
        missing = {key for step in level for key in step.keys if key not in self.directory}
        if missing:
            raise _MissingError(missing)
        return [target for step in level for target in self._follow_one(step)]

    def _follow_one(self, step: _Step) -> Iterator[_Step]:
        key, found = _found(self.directory, step.keys)
        if isinstance(found, str):
            self.problems.add(found)
        elif key in step.path:
            self.problems.add("loop")
        elif found.user is not None:
            self.users[found.user.id] = found.user
        elif key not in self.seen:
            self.seen.add(key)
            for target in found.targets:
                keys = _starting_points(self.directory, target)
                if keys is None:
                    self.external[target] = None
                else:
                    yield _Step(keys, step.path | {key})


def _found(directory: _Directory, keys: Sequence[str]) -> tuple[str, _Entry | Status]:
    """Return the best of the keys and what it stands for, or why it stands for nothing."""
    if not keys:
        return "", "unknown"
    domains = directory.domains or {}
    if not domains[keys[0].rpartition("@")[2]].enabled:
        return "", "disabled"
    *names, catch_all = keys
    postmaster = directory.postmaster if any(key.startswith("postmaster@") for key in names) else None
    for key in names:
        entry = directory.entry(key)
        if entry is not None and (entry.enabled or postmaster is None):
            return (key, entry) if entry.enabled else (key, "disabled")
    if postmaster is not None:
        return names[-1], _Entry(enabled=True, user=postmaster)
    entry = directory.entry(catch_all)
    return (catch_all, entry) if entry is not None and entry.enabled else ("", "unknown")


def _load(directory: _Directory, addresses: Collection[str]) -> None:
    """Read what these addresses are; those that are nothing are remembered too."""
    missing = [address for address in addresses if address not in directory]
    if not missing:
        return
    found: dict[str, _Entry | None] = dict.fromkeys(missing)
    for alias in Alias.objects.filter(address__in=missing).prefetch_related("targets"):
        found[alias.address] = _Entry(alias.enabled, targets=tuple(target.address for target in alias.targets.all()))
    rows = User.objects.filter(email__in=missing).values_list("email", "pk", "quota", "is_active")
    for email, pk, quota, enabled in rows:
        found[email or ""] = _Entry(enabled, user=LocalUser(pk, email or "", quota))
    for address, entry in found.items():
        directory.remember(address, entry)


def _filled(directory: _Directory, resolution: Resolution, age: float | None) -> Resolution | None:
    """Put in how full the mailboxes are; ``None`` when that was read longer ago than ``age`` seconds."""
    if not any(user.quota for user in resolution.users):
        return resolution
    users = []
    now = time.monotonic()
    for user in resolution.users:
        at, used = directory.fill.get(user.id, (float("-inf"), 0)) if user.quota else (now, 0)
        if age is not None and now - at > age:
            return None
        users.append(LocalUser(user.id, user.address, user.quota, used))
    return Resolution(resolution.status, tuple(users), resolution.external)
