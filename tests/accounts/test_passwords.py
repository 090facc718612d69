"""The one check of passwords: who gets in, what it costs to guess, and what nobody can tell from outside."""

import statistics
import threading
import time
from datetime import timedelta

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.utils import timezone

from a3mailer_site import generations
from a3mailer_site.models import Generation
from accounts import passwords
from accounts.models import User
from accounts.passwords import Account, LongestPasswordValidator, TooManyFailuresError, answer_delay, remembered, verify
from domains.models import Domain
from security.models import AuditEntry, LoginFailure

HERE = "192.0.2.7"
PASSWORD = "correct horse battery"  # what make_user gives


@pytest.fixture(autouse=True)
def _no_memory():
    for memory in (passwords._proven, passwords._known, passwords._recent):
        memory.clear()


@pytest.fixture
def hashes(monkeypatch):
    """Count how often a password is hashed."""
    counted = []
    original = passwords.check_password

    def check(password, encoded):
        counted.append(encoded)
        return original(password, encoded)

    monkeypatch.setattr(passwords, "check_password", check)
    return counted


def attempt(login="bob@example.com", password=PASSWORD, address=HERE):
    return verify(login, password, address=address, protocol="imap")


def fail(times, address=HERE, login="bob@example.com", ago=timedelta(0)):
    at = timezone.now() - ago
    LoginFailure.objects.bulk_create(
        [LoginFailure(address=address, login=login, protocol="imap", at=at) for _ in range(times)]
    )
    Generation.objects.bump("login_failures")


REFUSED = [
    ("bob@example.com", "wrong"),
    ("bob@example.com", ""),
    ("bob@example.com", PASSWORD + " "),
    ("bob@example.com", PASSWORD.upper()),
    ("bob@example.com", "\0"),
    ("bob@example.com", PASSWORD + "\0"),
    ("bob@example.com", "\ud800"),
    ("bob@example.com", "x" * 1025),
    ("bob@example.com", "\u00e9" * 513),
    ("", PASSWORD),
    ("nobody@example.com", PASSWORD),
    ("bob@example.com\0", PASSWORD),
    ("b\ud800b", PASSWORD),
    ("bob+tag@example.com", PASSWORD),
    ("b" * 5000, PASSWORD),
    ("off@example.com", PASSWORD),
    ("there@off.example", PASSWORD),
    ("unset@example.com", ""),
    ("unset@example.com", "!"),
]


@pytest.fixture
def people(make_user):
    make_user("bob@example.com")
    make_user("off@example.com", is_active=False)
    Domain.objects.create(name="off.example", enabled=False)
    make_user("there@off.example")
    unset = make_user("unset@example.com")
    unset.set_unusable_password()
    unset.save()


@pytest.mark.parametrize(("login", "password"), REFUSED)
def test_a_login_that_is_not_right_gives_nobody(people, login, password):
    assert attempt(login, password) is None


@pytest.mark.parametrize("login", ["bob", "BOB", " bob ", "bob@example.com", "Bob@EXAMPLE.com", '"bob"@example.com'])
def test_name_and_address_both_open_the_account(make_user, login):
    bob = make_user("bob@example.com", username="bob")
    assert attempt(login) == Account(bob.pk, "bob", "bob@example.com")


def test_both_ways_of_typing_an_accent_are_the_same_password(make_user):
    bob = make_user("bob@example.com")
    bob.set_password("caf\u00e9 caf\u00e9 caf\u00e9")
    bob.save()
    assert attempt(password="cafe\u0301 cafe\u0301 cafe\u0301") is not None


def test_passwords_are_hashed_with_argon2id_at_the_figures_we_promise(db):
    assert make_password("x").startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")


def test_a_long_password_is_refused_before_it_is_hashed(people, hashes):
    assert attempt(password="x" * 2_000_000) is None
    assert hashes == []
    with pytest.raises(ValidationError):
        LongestPasswordValidator().validate("x" * 1025)
    with pytest.raises(ValueError, match="too long"):
        make_password("x" * 1025)


@pytest.mark.parametrize(
    ("login", "password"), [row for row in REFUSED if len(row[1].encode("utf-8", "replace")) < 1000]
)
def test_every_refusal_hashes_once(people, hashes, login, password):
    attempt(login, password)
    assert len(hashes) == (1 if passwords.acceptable(password) else 0)


def test_an_unknown_name_takes_as_long_as_a_wrong_password(people):
    def seconds(login):
        started = time.perf_counter()
        attempt(login, "wrong")
        return time.perf_counter() - started

    seconds("warm@example.com")
    known, unknown = [], []
    for _ in range(7):
        LoginFailure.objects.all().delete()
        known.append(seconds("bob@example.com"))
        unknown.append(seconds("nobody@example.com"))
    assert 0.6 < statistics.median(unknown) / statistics.median(known) < 1.6


def test_a_proven_password_is_not_hashed_again_for_a_while(people, hashes):
    assert attempt() is not None
    assert attempt() is not None
    assert len(hashes) == 1
    assert attempt(password="wrong") is None
    assert len(hashes) == 2


def test_a_change_of_password_ends_what_was_proven(people):
    assert attempt() is not None
    user = User.objects.get(username="bob@example.com")
    user.password = make_password("another password")
    user.save()
    assert attempt() is None
    assert attempt(password="another password") is not None


def test_disabling_a_user_or_a_domain_ends_what_was_proven(people, domain):
    assert attempt() is not None
    domain.enabled = False
    domain.save()
    assert attempt() is None
    domain.enabled = True
    domain.save()
    assert attempt() is not None
    user = User.objects.get(username="bob@example.com")
    user.is_active = False
    user.save()
    assert attempt() is None


def test_failures_are_written_down_without_the_password_and_without_telling_who_exists(people):
    attempt("bob@example.com", "hunter2hunter2")
    attempt("nobody\n@example.com", "hunter2hunter2")
    known, unknown = AuditEntry.objects.order_by("id")
    bob = User.objects.get(username="bob@example.com")
    assert (known.user_id, unknown.user_id) == (f"user_{bob.pk}", "")
    assert {known.action, unknown.action} == {"login_failed"}
    assert (known.outcome, known.severity, known.source_ip) == ("failure", "warning", HERE)
    assert "hunter2" not in str([known.metadata, unknown.metadata])
    assert "\n" not in LoginFailure.objects.order_by("-id").first().login


def test_both_names_of_an_account_count_as_one(make_user):
    make_user("bob@example.com", username="bob")
    attempt("bob", "wrong")
    attempt("bob@example.com", "wrong")
    assert set(LoginFailure.objects.values_list("login", flat=True)) == {"bob"}


@pytest.mark.parametrize(
    ("failures", "refused"),
    [
        ([(9, HERE, "bob@example.com")], False),
        ([(10, HERE, "bob@example.com")], True),
        ([(29, HERE, "others@example.com")], False),
        ([(30, HERE, "others@example.com")], True),
        ([(29, HERE, "others@example.com"), (1, HERE, "bob@example.com")], True),
        ([(99, "198.51.100.1", "bob@example.com")], False),
        ([(100, "198.51.100.1", "bob@example.com")], True),
        ([(10, "198.51.100.1", "bob@example.com")], False),
    ],
)
def test_too_many_failures_close_the_door_before_hashing(people, hashes, failures, refused):
    for times, address, login in failures:
        fail(times, address, login)
    if refused:
        with pytest.raises(TooManyFailuresError):
            attempt()
        assert hashes == []
    else:
        assert attempt() is not None


def test_old_failures_do_not_count(people):
    fail(200, ago=timedelta(minutes=11))
    assert attempt() is not None


def test_loopback_counts_too_with_ten_times_the_figures(people):
    fail(99, "127.0.0.1")
    assert attempt(address="127.0.0.1") is not None
    fail(1, "127.0.0.1")
    with pytest.raises(TooManyFailuresError):
        attempt(address="127.0.0.1")


def test_an_attack_from_elsewhere_does_not_lock_out_where_the_owner_is_known(people):
    assert attempt() is not None
    fail(100, "198.51.100.1")
    assert attempt() is not None
    with pytest.raises(TooManyFailuresError):
        attempt(address="203.0.113.9")


def test_a_success_does_not_lift_the_limit_for_the_attacker(people):
    fail(10, "198.51.100.1")
    assert attempt() is not None
    with pytest.raises(TooManyFailuresError):
        attempt(address="198.51.100.1")


def test_the_right_password_does_not_pass_a_closed_door_though_it_was_proven_before(people):
    assert attempt() is not None
    fail(10)
    with pytest.raises(TooManyFailuresError):
        attempt()


def test_answers_come_later_the_more_failures_there_were(people):
    delays = []
    for _ in range(5):
        attempt(password="wrong")
        delays.append(answer_delay(HERE))
    assert delays[0] == 0
    assert delays == sorted(delays)
    assert 0 < delays[-1] <= 5
    assert answer_delay("203.0.113.9") == 0


def test_what_is_settled_costs_no_query(people, django_assert_num_queries):
    assert attempt() is not None
    with django_assert_num_queries(0):
        assert attempt() is not None


def test_what_is_settled_is_remembered_without_a_look_at_the_database(people, django_assert_num_queries, monkeypatch):
    monkeypatch.setattr(generations, "_AGE", 60.0)  # the last look may have been nearly a second ago
    assert remembered("bob@example.com", PASSWORD, "192.0.2.7") is None
    account = attempt()
    with django_assert_num_queries(0):
        assert remembered("bob@example.com", PASSWORD, "192.0.2.7") == account
        assert remembered("bob@example.com", PASSWORD + "x", "192.0.2.7") is None
        assert remembered("bob@example.com", PASSWORD, "192.0.2.8") is None
    # Nobody has looked lately whether users have changed: then nothing is believed.
    monkeypatch.setattr(generations, "_AGE", -1.0)
    assert remembered("bob@example.com", PASSWORD, "192.0.2.7") is None


def test_a_failure_anywhere_ends_what_was_remembered(people):
    attempt()
    assert attempt(password="wrong", address="198.51.100.9") is None
    assert remembered("bob@example.com", PASSWORD, "192.0.2.7") is None


def test_another_address_or_password_is_a_question_of_its_own(people, hashes):
    assert attempt() is not None
    assert attempt(password=PASSWORD + "x") is None
    assert attempt(address="192.0.2.8") is not None


def test_another_process_is_heard_after_a_second(people, monkeypatch):
    assert attempt() is not None
    User.objects.filter(username="bob@example.com").update(is_active=False)
    Generation.objects.filter(name="addresses").update(value=99)
    monkeypatch.setattr(generations, "_AGE", -1.0)
    assert attempt() is None


def test_a_change_in_the_middle_of_a_login_is_not_forgotten_over_it(people, monkeypatch):
    original = passwords._matches

    def matches(user, password):
        passwords.forget()
        return original(user, password)

    monkeypatch.setattr(passwords, "_matches", matches)
    assert attempt() is not None
    monkeypatch.setattr(passwords, "_matches", lambda user, password: False)
    assert attempt() is None


def test_last_login_is_written_at_most_once_a_minute_and_leaves_caches_alone(people, django_assert_num_queries):
    assert attempt() is not None
    first = User.objects.get(username="bob@example.com").last_login
    assert first is not None
    assert attempt() is not None
    assert User.objects.get(username="bob@example.com").last_login == first
    passwords.forget()
    User.objects.filter(username="bob@example.com").update(last_login=first - timedelta(minutes=2))
    assert attempt() is not None
    assert User.objects.get(username="bob@example.com").last_login > first - timedelta(seconds=1)


def test_only_so_many_hash_at_once(people, monkeypatch):
    inside, most = [], []
    lock = threading.Lock()

    def slow(password, encoded):
        with lock:
            inside.append(1)
            most.append(len(inside))
        time.sleep(0.02)
        with lock:
            inside.pop()
        return False

    monkeypatch.setattr(passwords, "check_password", slow)
    threads = [threading.Thread(target=passwords._matches, args=(None, "x")) for _ in range(3 * passwords._AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == passwords._AT_ONCE


def test_who_waits_too_long_for_a_turn_is_told_to_come_back(people, monkeypatch):
    monkeypatch.setattr(passwords, "_PATIENCE", 0.01)
    monkeypatch.setattr(passwords, "_turns", threading.BoundedSemaphore(1))
    with passwords._turn(), pytest.raises(TooManyFailuresError):
        attempt()


def test_djangos_logins_go_the_same_way(people, rf):
    request = rf.post("/admin/login/", REMOTE_ADDR=HERE)
    assert authenticate(request, username="bob@example.com", password=PASSWORD).username == "bob@example.com"
    assert authenticate(request, username="bob@example.com", password="wrong") is None
    assert LoginFailure.objects.get().address == HERE
    fail(10)
    assert authenticate(request, username="bob@example.com", password=PASSWORD) is None
