"""The one resolver: canonical forms, aliases, catch-alls, tags, and what is not ours."""

import threading

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from a3mailer_site import caches, generations
from a3mailer_site.figures import figures
from a3mailer_site.models import Generation
from accounts import addresses
from accounts.addresses import claim_address, is_local_domain, may_send_as, normalize, resolve, resolve_cached
from accounts.models import Alias, AliasTarget, User
from domains.models import Domain

MALFORMED = [
    "",
    "@",
    "bob",
    "bob@",
    "@example.com",
    "bob@example.com.",
    "bob@ example.com",
    "bob@example..com",
    "bob@-example.com",
    "bob@[192.0.2.1]",
    "bob@[IPv6:2001:db8::1]",
    "@relay.example,@other.example:bob@example.com",
    "@relay.example:bob@example.com",
    "bob@evil.example@example.com",
    "bob smith@example.com",
    ".bob@example.com",
    "bob.@example.com",
    "bo..b@example.com",
    "bob\0@example.com",
    "bob\r\n@example.com",
    "bob\u202e@example.com",
    "b\ud800b@example.com",
    '"bob@example.com',
    '"bo"b"@example.com',
    "a" * 65 + "@example.com",
    "a" * 60 + "@" + ".".join(["b" * 60] * 4),
]


@pytest.mark.parametrize("address", MALFORMED)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValueError, match=r"address|name|domain"):
        normalize(address)


@pytest.mark.parametrize(
    ("address", "canonical"),
    [
        ("Bob@Example.COM", "bob@example.com"),
        ('"bob"@example.com', "bob@example.com"),
        ('"b\\ob"@example.com', "bob@example.com"),
        ('"bob smith"@example.com', '"bob smith"@example.com'),
        ('"a\\"b\\\\c"@example.com', '"a\\"b\\\\c"@example.com'),
        ("Stra\u00dfe@example.com", "strasse@example.com"),
        ("bob@B\u00fccher.example", "bob@xn--bcher-kva.example"),
        ("e\u0301@example.com", "\u00e9@example.com"),
        ("bob+Tag@example.com", "bob+tag@example.com"),
    ],
)
def test_an_address_has_one_form(address, canonical):
    assert normalize(address) == canonical


@given(st.text(max_size=80), st.sampled_from(["example.com", "B\u00fccher.example", "\u4f8b\u5b50.example"]))
def test_the_canonical_form_is_its_own_canonical_form(local, domain):
    try:
        canonical = normalize(f"{local}@{domain}")
    except ValueError:
        return
    assert normalize(canonical) == canonical
    assert canonical.rpartition("@")[2].isascii()


@given(st.text(max_size=300))
def test_anything_else_raises_value_error_and_nothing_else(text):
    try:
        canonical = normalize(text)
    except ValueError:
        return
    assert "\0" not in canonical
    assert "\n" not in canonical


def alias(address, *targets, enabled=True):
    row = Alias(address=address, enabled=enabled)
    row.full_clean()
    row.save()
    for target in targets:
        AliasTarget.objects.create(alias=row, address=target)
    return row


def who(address):
    found = resolve(address)
    return found.status, sorted(user.address for user in found.users), sorted(found.external)


DISGUISES = [
    "victim%other.example@example.com",
    "other.example!victim@example.com",
    '"victim@other.example"@example.com',
    '"victim%other.example"@example.com',
    "@example.com:victim@other.example",
    "@example.com,@other.example:victim@third.example",
    "victim@other.example@example.com",
    "bob@example.com@other.example",
    "bob@example.com.",
    "bob@notexample.com",
    "bob@sub.example.com",
    "bob@example.com.other.example",
    "bob@[127.0.0.1]",
    "bob@example.com\0.other.example",
    "victim@other.example",
]


@pytest.mark.parametrize("address", DISGUISES)
def test_a_relay_in_disguise_reaches_nobody_even_with_a_catch_all(make_user, address):
    make_user("bob@example.com")
    alias("@example.com", "bob@example.com")
    assert resolve(address).status in {"unknown", "not_local"}
    assert (resolve(address).users, resolve(address).external) == ((), ())


@pytest.mark.parametrize("address", DISGUISES[:4])
def test_a_disguise_with_our_domain_is_ours_to_refuse_and_not_to_relay(make_user, address):
    make_user("bob@example.com")
    assert resolve(address).status == "unknown"


def test_a_user_is_found_however_the_address_is_spelled(make_user):
    make_user("bob@example.com")
    assert who("BOB@Example.Com") == ("ok", ["bob@example.com"], [])
    assert who('"bob"@example.com') == ("ok", ["bob@example.com"], [])


def test_nobody_is_unknown_and_other_domains_are_not_local(make_user):
    make_user("bob@example.com")
    assert who("carol@example.com") == ("unknown", [], [])
    assert who("bob@example.org") == ("not_local", [], [])


def test_a_tag_is_stripped_unless_the_whole_address_is_somebodys(make_user, domain):
    make_user("bob@example.com")
    make_user("bob+boss@example.com")
    assert who("bob+news@example.com") == ("ok", ["bob@example.com"], [])
    assert who("bob+news+more@example.com") == ("ok", ["bob@example.com"], [])
    assert who("bob+boss@example.com") == ("ok", ["bob+boss@example.com"], [])
    assert who("+news@example.com")[0] == "unknown"
    domain.separator = "-"
    domain.save()
    assert who("bob+news@example.com")[0] == "unknown"
    assert who("bob-news@example.com") == ("ok", ["bob@example.com"], [])
    domain.separator = ""
    domain.save()
    assert who("bob-news@example.com")[0] == "unknown"


def test_an_alias_goes_to_all_its_targets_once(make_user):
    make_user("bob@example.com")
    make_user("eve@example.com")
    alias("team@example.com", "bob@example.com", "eve@example.com", "bob+x@example.com", "ann@example.org")
    alias("all@example.com", "team@example.com", "bob@example.com", "ann@example.org", "zoe@example.net")
    assert who("team@example.com") == ("ok", ["bob@example.com", "eve@example.com"], ["ann@example.org"])
    assert who("all+x@example.com") == (
        "ok",
        ["bob@example.com", "eve@example.com"],
        ["ann@example.org", "zoe@example.net"],
    )


def test_a_loop_of_aliases_is_cut_and_what_else_is_there_still_gets_mail(make_user):
    make_user("bob@example.com")
    alias("a@example.com", "b@example.com")
    alias("b@example.com", "a@example.com")
    assert who("a@example.com") == ("loop", [], [])
    AliasTarget.objects.create(alias=Alias.objects.get(address="b@example.com"), address="bob@example.com")
    assert who("a@example.com") == ("ok", ["bob@example.com"], [])


@pytest.mark.parametrize(("length", "status"), [(9, "ok"), (10, "ok"), (11, "loop")])
def test_aliases_of_aliases_end_after_ten(make_user, length, status):
    make_user("bob@example.com")
    for number in range(length):
        following = "bob" if number == length - 1 else f"a{number + 1}"
        alias(f"a{number}@example.com", f"{following}@example.com")
    assert resolve("a0@example.com").status == status


def test_a_catch_all_takes_what_nobody_else_does(make_user):
    make_user("bob@example.com")
    make_user("eve@example.com", is_active=False)
    alias("@example.com", "bob@example.com")
    assert who("anything@example.com") == ("ok", ["bob@example.com"], [])
    assert who("eve@example.com")[0] == "disabled"


def test_disabled_users_aliases_and_domains_take_no_mail(make_user, domain):
    bob = make_user("bob@example.com")
    make_user("eve@example.com")
    alias("off@example.com", "eve@example.com", enabled=False)
    alias("both@example.com", "bob@example.com", "eve@example.com")
    bob.is_active = False
    bob.save()
    assert who("bob@example.com")[0] == "disabled"
    assert who("off@example.com")[0] == "disabled"
    assert who("both@example.com") == ("ok", ["eve@example.com"], [])
    domain.enabled = False
    domain.save()
    assert who("eve@example.com")[0] == "disabled"
    assert who("nobody@example.com")[0] == "disabled"


def test_postmaster_always_reaches_somebody(make_user):
    make_user("bob@example.com")
    assert who("postmaster@example.com")[0] == "unknown"
    make_user("root@example.com", is_staff=True)
    make_user("later@example.com", is_staff=True)
    Domain.objects.create(name="example.net")
    assert who("postmaster@example.com") == ("ok", ["root@example.com"], [])
    assert who("Postmaster@example.net") == ("ok", ["root@example.com"], [])
    assert who("PostMaster") == ("ok", ["root@example.com"], [])
    alias("postmaster@example.com", "bob@example.com")
    assert who("postmaster@example.com") == ("ok", ["bob@example.com"], [])
    assert who("postmaster") == ("ok", ["bob@example.com"], [])
    Alias.objects.get().delete()
    alias("postmaster@example.com", "bob@example.com", enabled=False)
    assert who("postmaster@example.com") == ("ok", ["root@example.com"], [])


def test_international_domains_are_found_in_both_spellings(db):
    home = Domain.objects.create(name="b\u00fccher.example")
    User.objects.create_user("bob", "x" * 12, email="bob@b\u00fccher.example")
    assert home.name == "xn--bcher-kva.example"
    assert resolve("bob@B\u00dcCHER.example").status == "ok"
    assert resolve("bob@xn--bcher-kva.example").status == "ok"


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("example.com", True),
        ("EXAMPLE.com", True),
        ("example.com.", False),
        (" example.com", False),
        ("com", False),
        ("", False),
    ],
)
def test_a_domain_is_local_by_its_whole_name(domain, name, local):
    assert is_local_domain(name) is local


def test_how_full_a_mailbox_is_is_read_anew(make_user, monkeypatch):
    bob = make_user("bob@example.com", quota=1000)
    assert resolve("bob@example.com").users[0].used_quota == 0
    User.objects.filter(pk=bob.pk).update(used_quota=900)
    assert resolve("bob@example.com").users[0].used_quota == 900
    assert resolve("bob@example.com").users[0].quota == 1000


def test_the_cached_path_never_asks_the_database(make_user, django_assert_num_queries):
    make_user("bob@example.com")
    make_user("full@example.com", quota=10)
    alias("team@example.com", "bob@example.com", "ann@example.org")
    asked = ["bob@example.com", "team@example.com", "nobody@example.com", "x@example.org", "full@example.com"]
    with django_assert_num_queries(0):
        assert [resolve_cached(address) for address in asked] == [None] * 5
    expected = [resolve(address) for address in asked]
    with django_assert_num_queries(0):
        assert [resolve_cached(address) for address in asked] == expected


def test_the_cached_path_says_nothing_about_a_limited_mailbox_that_it_has_not_looked_at_lately(make_user, monkeypatch):
    make_user("full@example.com", quota=10)
    resolve("full@example.com")
    monkeypatch.setattr(addresses, "_FILL_AGE", -1.0)
    assert resolve_cached("full@example.com") is None


def test_fifty_recipients_cost_a_handful_of_queries(make_user, django_assert_max_num_queries):
    people = [f"user{number}@example.com" for number in range(50)]
    User.objects.bulk_create(
        [User(username=person, email=person, domain_id=Domain.objects.get().pk, quota=1) for person in people]
    )
    with django_assert_max_num_queries(7):
        found = addresses.resolve_many(people)
    assert {resolution.status for resolution in found.values()} == {"ok"}


def test_a_change_is_seen_at_once_in_the_process_that_made_it(make_user):
    bob = make_user("bob@example.com")
    assert who("bob@example.com")[0] == "ok"
    bob.delete()
    assert who("bob@example.com")[0] == "unknown"


def test_a_process_without_a_poller_asks_again_after_a_second(make_user, monkeypatch):
    make_user("bob@example.com")
    assert who("carol@example.com")[0] == "unknown"
    # Another process makes carol: this one hears nothing of it.
    User.objects.bulk_create([User(username="carol", email="carol@example.com", domain=Domain.objects.get())])
    Generation.objects.filter(name="addresses").update(value=99)
    assert who("carol@example.com")[0] == "unknown"
    monkeypatch.setattr(generations, "_AGE", -1.0)
    assert resolve_cached("carol@example.com") is None
    assert who("carol@example.com")[0] == "ok"


def test_a_process_with_a_poller_believes_it(make_user, monkeypatch):
    make_user("bob@example.com")
    monkeypatch.setattr(generations, "_AGE", -1.0)
    generations.rely_on_poller()
    resolve("bob@example.com")
    assert resolve_cached("bob@example.com").status == "ok"
    generations.announce("addresses")
    assert resolve_cached("bob@example.com") is None


def test_what_was_read_before_a_change_is_not_remembered_after_it(make_user, monkeypatch):
    """A reader in another thread must not put an old answer into a cache that has just been emptied."""
    make_user("bob@example.com")
    resolve("bob@example.com")
    original = addresses._load

    def load_slowly(directory, wanted):
        original(directory, wanted)
        addresses.forget()

    monkeypatch.setattr(addresses, "_load", load_slowly)
    resolve("carol@example.com")
    assert "carol@example.com" not in addresses._directory


@pytest.fixture
def capacity():
    """Sets how many bytes the caches of this process may take, until the end of the test."""
    before = caches.in_force()
    yield caches.resize
    caches.resize(before)


def test_wrong_addresses_do_not_fill_the_memory(make_user, capacity):
    make_user("bob@example.com")
    capacity(20_000)
    for number in range(200):
        resolve(f"guess{number}@example.com")
    assert 0 < addresses._directory.users.bytes <= 0.35 * 20_000
    assert "guess199@example.com" in addresses._directory
    assert "guess0@example.com" not in addresses._directory
    assert resolve("bob@example.com").status == "ok"


def test_without_any_memory_addresses_are_resolved_all_the_same(make_user, capacity):
    make_user("bob@example.com")
    alias("team@example.com", "bob@example.com", "ann@example.org")
    capacity(0)
    assert who("team@example.com") == ("ok", ["bob@example.com"], ["ann@example.org"])
    assert resolve_cached("bob@example.com") is None
    assert len(addresses._directory.users) == 0


def counted():
    counters = figures.snapshot()["counters"]
    return {
        name: int(counters.get(name, 0))
        for name in ("cache.user.hits", "cache.user.misses", "cache.domain.hits", "cache.domain.misses")
    }


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("bob@example.com", "user"),
        ("full@example.com", "user"),
        ("nobody@example.com", "user"),
        ("team@example.com", "domain"),
        ("x@example.org", "domain"),
        ("no address", "domain"),
    ],
)
def test_each_lookup_counts_once_where_it_was_answered(make_user, monkeypatch, address, kind):
    generations.rely_on_poller()
    monkeypatch.setattr(addresses, "_FILL_AGE", 3600.0)
    make_user("bob@example.com")
    make_user("full@example.com", quota=10)
    alias("team@example.com", "bob@example.com")
    before = counted()
    resolve(address)
    missed = counted()
    assert missed == {**before, f"cache.{kind}.misses": before[f"cache.{kind}.misses"] + 1}
    for _ in range(3):
        assert resolve_cached(address) == resolve(address)
    assert counted() == {**missed, f"cache.{kind}.hits": missed[f"cache.{kind}.hits"] + 6}
    if kind == "user":
        # Something is said of the domain too, and that is a lookup of its own.
        is_local_domain("example.com")
        assert counted()["cache.domain.hits"] == missed["cache.domain.hits"] + 1


def test_one_may_send_as_oneself_and_as_ones_aliases(make_user):
    bob, eve = make_user("bob@example.com"), make_user("eve@example.com")
    alias("team@example.com", "bob@example.com", "ann@example.org")
    for address in ("bob@example.com", "BOB+x@example.com", "team@example.com", "team+y@example.com"):
        assert may_send_as(bob.pk, address), address
        assert not may_send_as(eve.pk, address), address
    for address in ("nobody@example.com", "bob@example.org", "ann@example.org", "", "bob", "bob@example.com."):
        assert not may_send_as(bob.pk, address), address


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("bob", "invalid"),
        ("a%b@example.com", "invalid"),
        ("a!b@example.com", "invalid"),
        ('"a b"@example.com', "invalid"),
        ("@example.com", "invalid"),
        ("bob@example.org", "no_domain"),
        ("taken@example.com", "unique"),
        ("TAKEN@example.com", "unique"),
        ("list@example.com", "unique"),
    ],
)
def test_an_address_that_cannot_be_given_is_refused(make_user, address, code):
    make_user("taken@example.com")
    alias("list@example.com", "taken@example.com")
    with pytest.raises(ValidationError) as refused:
        claim_address(address, user=User())
    assert refused.value.code == code


def test_a_catch_all_is_for_aliases(domain):
    assert claim_address("@Example.com", alias=Alias()) == ("@example.com", domain)


def test_saving_again_does_not_collide_with_oneself(make_user):
    bob = make_user("bob@example.com")
    bob.full_clean()
    alias("list@example.com", "bob@example.com").full_clean()


def test_a_login_name_is_nobody_elses_address(make_user):
    make_user("bob@example.com", username="bob")
    with pytest.raises(ValidationError):
        make_user("eve@example.com", username="BOB@example.com")
    make_user("ann@example.com", username="zoe@example.com")
    with pytest.raises(ValidationError):
        make_user("zoe@example.com", username="zoe")


@pytest.mark.django_db(transaction=True)
def test_threads_resolve_beside_changes():
    Domain.objects.create(name="example.com")
    User.objects.create_user("bob", "x" * 12, email="bob@example.com")
    wrong = []

    def look():
        from django.db import connection

        found = [resolve("bob@example.com").status for _ in range(50)]
        wrong.extend(status for status in found if status != "ok")
        connection.close()

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(10):
        User.objects.create_user(f"u{number}", None, email=f"u{number}@example.com")
    for thread in threads:
        thread.join()
    assert wrong == []
