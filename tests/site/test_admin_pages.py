"""The web administration: every page renders, with nothing and with something in it, in both languages; actions act."""

import re
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.urls import reverse
from django.utils import timezone

from a3mailer_site.ids import to_text
from accounts.models import Alias, AliasTarget, ApiKey, User
from accounts.passwords import verify
from domains.models import Domain
from mailcore.store.models import AccessRight, Mailbox
from mailqueue.models import (
    Body,
    MessageEvent,
    MessageTrace,
    QueueDestination,
    QueuedMessage,
    QueueEntry,
    QueuePurge,
    Route,
    Suppression,
    Webhook,
    WebhookDelivery,
)
from mailqueue.standing import reclassify
from monitoring.models import CustomMetric, CustomSeries
from security.models import (
    AllowedNetwork,
    AuditCheckpoint,
    AuditEntry,
    BlockedAddress,
    LoginFailure,
    PostureResult,
    Tally,
)

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"
NASTY = "<script>alert(1)</script>"
OURS = [
    AccessRight,
    Alias,
    AllowedNetwork,
    ApiKey,
    AuditCheckpoint,
    AuditEntry,
    BlockedAddress,
    CustomMetric,
    Domain,
    LoginFailure,
    MessageTrace,
    PostureResult,
    QueueDestination,
    QueueEntry,
    QueuePurge,
    Route,
    Suppression,
    Tally,
    User,
    Webhook,
    WebhookDelivery,
]


@pytest.fixture
def root(make_user):
    return make_user("root@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def browser(client, root):
    client.force_login(root, backend="accounts.passwords.PasswordBackend")
    return client


def url(model, page, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


@pytest.fixture
def three(make_user, domain, root):
    """Three of everything."""
    now = timezone.now()
    for n in range(3):
        make_user(f"u{n}@example.com", full_name=NASTY, quota=100)
        Domain.objects.create(name=f"d{n}.example")
        row = Alias.objects.create(address=f"a{n}@example.com", domain=domain)
        AliasTarget.objects.create(alias=row, address="x@example.org")
        ApiKey.issue(NASTY, ["read"])
        Route.objects.create(domain=f"r{n}.example", host="relay.example")
        Suppression.objects.create(domain="example.com", address=f"{NASTY}{n}@far.test", reason="bounce", message=n)
        QueueDestination.objects.create(name=f"q{n}.example", failures=n, last_reply=NASTY, paused=n == 2, reason=NASTY)
        hook = Webhook.objects.create(url=f"https://{n}.example/{NASTY}", events=["bounced"], last_error=NASTY)
        WebhookDelivery.objects.create(webhook=hook, message=0, at=now, kind="failed", last_error=NASTY)
        AuditEntry.objects.create(event_type="system", action=NASTY[:60], metadata={"a": NASTY})
        metric = CustomMetric.objects.create(name=f"metric_{n}", kind="counter")
        CustomSeries.objects.create(metric=metric, key="", labels={"a": NASTY}, value=n)
        LoginFailure.objects.create(address="192.0.2.1", login=NASTY, protocol="imap")
        BlockedAddress.objects.create(network=f"192.0.2.{n}", reason=NASTY)
        AllowedNetwork.objects.create(network=f"198.51.100.{n}", reason=NASTY)
        AuditCheckpoint.objects.create(seq=n, hash="0" * 64, purged_at=now)
        PostureResult.objects.create(check_id=f"check{n}", status="fail", facts={"a": NASTY}, ran_at=now)
        Tally.objects.create(minute=now - timedelta(minutes=n), kind="per_ip", count=n)
        queued(f"x{n}@example.org", now)
        QueuePurge.objects.create(queue="retry", messages=n, by=NASTY)
        mailbox = Mailbox.objects.create(owner=root, name=f"{NASTY}{n}", uidvalidity=1)
        AccessRight.objects.create(mailbox=mailbox, user=User.objects.get(email=f"u{n}@example.com"), rights="lr")


def queued(recipient, now, state="queued"):
    body = Body.objects.create(size=3, data=b"abc")
    message = QueuedMessage.objects.create(
        id=body.id, body=body, sender="bob@example.com", size=3, expires_at=now + timedelta(days=5)
    )
    trace = MessageTrace.objects.create(
        message=message.pk,
        direction="sub",
        status="deferred",
        sender="bob@example.com",
        recipient=recipient,
        subject=NASTY,
    )
    entry = QueueEntry.objects.create(
        message=message,
        trace_id=trace.pk,
        recipient=recipient,
        destination=recipient.rpartition("@")[2],
        state=state,
        next_attempt_at=now + timedelta(hours=1),
        last_reply=NASTY,
        attempts=2,
    )
    reclassify([message.pk])
    return entry


def shown(response):
    assert response.status_code == 200, response.content[:500]
    text = response.content.decode()
    assert NASTY not in text
    # No inline script: the policy would forbid it.
    assert not re.search(r"<script(?![^>]*\bsrc=)(?![^>]*type=\"application/json\")[^>]*>\s*\S", text)
    return text


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_lists_render_empty(browser, model, language):
    browser.cookies["django_language"] = language
    shown(browser.get(url(model, "changelist")))


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_lists_and_objects_render_with_three_rows(browser, three, model, language):
    browser.cookies["django_language"] = language
    shown(browser.get(url(model, "changelist")))
    shown(browser.get(url(model, "changelist"), {"q": "u1@example"}))
    shown(browser.get(url(model, "change", model.objects.order_by("pk").last().pk)))
    if admin.site._registry[model].has_add_permission(browser.get("/admin/").wsgi_request):
        shown(browser.get(url(model, "add")))


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_lists_cost_the_same_queries_for_three_rows_as_for_none(browser, three, model, django_assert_max_num_queries):
    with django_assert_max_num_queries(14):
        browser.get(url(model, "changelist"))


def test_nobody_enters_without_a_login_and_no_mailbox_owner_enters(client, make_user):
    make_user("bob@example.com")
    for path in ("/admin/", "/admin/accounts/user/", "/admin/mailqueue/messagetrace/timeline/0000000000000"):
        assert client.get(path).status_code == 302
    client.post("/admin/login/", {"username": "bob@example.com", "password": PASSWORD})
    assert client.get("/admin/").status_code == 302


def test_logging_in_goes_through_the_one_check(client, root):
    assert client.post("/admin/login/", {"username": "root@example.com", "password": "wrong"}).status_code == 200
    assert LoginFailure.objects.get().protocol == "web"
    assert client.post("/admin/login/", {"username": "ROOT@example.com", "password": PASSWORD}).status_code == 302
    assert client.get("/admin/").status_code == 200


def test_the_first_page_leads_on_and_says_how_the_server_is(browser, three, monkeypatch):
    from monitoring import server

    listeners = [{"name": "smtp", "address": "127.0.0.1:2525", "served": True}]
    monkeypatch.setattr(server, "call", lambda *a, **k: {"state": "running", "uptime": 7, "listeners": listeners})
    text = shown(browser.get("/admin/"))
    assert "running" in text
    assert "127.0.0.1:2525" in text
    assert browser.get("/").url == "/admin/"
    assert browser.get("/admin").url == "/admin/"


def test_without_a_server_the_first_page_says_so(browser, monkeypatch):
    from a3mailer_site.control import ServerAwayError
    from monitoring import server

    def call(*args, **kwargs):
        raise ServerAwayError("nobody")

    monkeypatch.setattr(server, "call", call)
    assert "not reached" in shown(browser.get("/admin/"))


def test_the_language_is_chosen_on_the_page(browser):
    answer = browser.post(reverse("set_language"), {"language": "zh-hans", "next": "/admin/"})
    assert (answer.status_code, answer.url) == (302, "/admin/")
    assert 'lang="zh-hans"' in browser.get("/admin/").content.decode()


@pytest.mark.parametrize(("language", "words"), [("en", "There is no such thing."), ("zh-hans", "资源不存在")])
def test_what_is_not_there_is_said_in_the_language_and_leads_back(browser, language, words):
    browser.cookies["django_language"] = language
    answer = browser.get("/admin/nothing/")
    text = answer.content.decode()
    assert answer.status_code == 404
    assert words in text
    assert 'href="/admin/"' in text
    assert '<meta name="viewport" content="width=device-width' in text


def test_every_page_has_a_policy_for_scripts(browser):
    policy = browser.get("/admin/")["Content-Security-Policy"]
    assert "script-src 'self' 'unsafe-eval'" in policy
    assert "frame-ancestors 'none'" in policy


class TestUsers:
    """Making, changing and switching off users."""

    def add(self, browser, **changes):
        data = {
            "email": "new@example.com",
            "username": "new",
            "full_name": "",
            "password1": "Wintergarten-7",
            "password2": "Wintergarten-7",
            "quota": "0",
            "undo_seconds": "0",
            **changes,
        }
        return browser.post(url(User, "add"), {key: value for key, value in data.items() if value is not None})

    def test_a_user_is_made_with_a_password(self, browser):
        assert self.add(browser).status_code == 302
        assert verify("new@example.com", "Wintergarten-7", address="192.0.2.1", protocol="imap") is not None
        entry = AuditEntry.objects.get(action="user_created")
        assert "Wintergarten" not in str(entry.metadata)
        assert entry.user_id.startswith("user_")

    @pytest.mark.parametrize(
        "changes",
        [
            {"email": "new@elsewhere.example"},
            {"email": "root@example.com"},
            {"email": "a%b@example.com"},
            {"username": "root@example.com"},
            {"password1": "short", "password2": "short"},
            {"password2": "different-1"},
            {"quota": "-1"},
            {"quota": str(2**63)},
        ],
    )
    def test_what_is_not_right_is_said_on_the_form(self, browser, changes):
        assert self.add(browser, **changes).status_code == 200
        assert User.objects.count() == 1

    def test_limits_of_the_domain_hold_here_too(self, browser, domain):
        Domain.objects.update(max_users=1)
        assert self.add(browser).status_code == 200
        Domain.objects.update(max_users=0, max_quota=10)
        assert self.add(browser, quota="11").status_code == 200
        assert User.objects.count() == 1

    def change(self, browser, user, **changes):
        data = {
            "email": user.email,
            "username": user.username,
            "full_name": "",
            "quota": user.quota,
            "undo_seconds": 0,
            "is_active": "on",
        }
        return browser.post(
            url(User, "change", user.pk),
            {key: value for key, value in {**data, **changes}.items() if value is not None},
        )

    def test_a_change_keeps_what_mail_has_counted_and_is_written_down(self, browser, make_user):
        bob = make_user("bob@example.com")
        User.objects.filter(pk=bob.pk).update(used_quota=77)
        assert self.change(browser, bob, quota="500").status_code == 302
        bob.refresh_from_db()
        assert (bob.quota, bob.used_quota) == (500, 77)
        entry = AuditEntry.objects.get(action="user_updated")
        assert entry.metadata["before"]["quota"] == 0
        assert entry.metadata["after"]["quota"] == 500

    def test_the_last_administrator_stays_one(self, browser, root):
        assert self.change(browser, root, is_staff="on", is_superuser=None).status_code == 200
        assert self.change(browser, root, is_staff="on", is_superuser="on", is_active=None).status_code == 200
        browser.post(url(User, "changelist"), {"action": "disable", "_selected_action": [root.pk]})
        root.refresh_from_db()
        assert root.is_active
        assert root.is_superuser

    def test_a_password_is_changed(self, browser, make_user):
        bob = make_user("bob@example.com")
        path = reverse("admin:auth_user_password_change", args=[bob.pk])
        shown(browser.get(path))
        data = {"password1": "Wintergarten-7", "password2": "Wintergarten-7", "usable_password": "true"}
        assert browser.post(path, data).status_code == 302
        assert verify("bob@example.com", "Wintergarten-7", address="192.0.2.1", protocol="imap") is not None
        assert AuditEntry.objects.filter(action="user_updated").exists()

    def test_users_are_switched_off_and_on(self, browser, make_user):
        bob, eve = make_user("bob@example.com"), make_user("eve@example.com")
        select = {"_selected_action": [bob.pk, eve.pk]}
        browser.post(url(User, "changelist"), {"action": "disable", **select})
        assert set(User.objects.filter(is_active=False)) == {bob, eve}
        browser.post(url(User, "changelist"), {"action": "enable", **select})
        assert not User.objects.filter(is_active=False).exists()

    @pytest.mark.django_db(transaction=True)  # locks are taken outside of a test's own transaction, too
    def test_an_administrator_is_switched_off_while_there_is_another(self, client, make_user):
        root, other = (make_user(f"root{n}@example.com", is_staff=True, is_superuser=True) for n in range(2))
        client.force_login(root, backend="accounts.passwords.PasswordBackend")
        answer = client.post(url(User, "changelist"), {"action": "disable", "_selected_action": [other.pk, root.pk]})
        assert answer.status_code == 302
        assert User.objects.filter(is_active=True).count() == 1
        assert AuditEntry.objects.filter(action="user_updated").count() == 1

    def test_a_user_is_deleted_after_a_question(self, browser, make_user, root):
        bob = make_user("bob@example.com")
        path = url(User, "delete", bob.pk)
        shown(browser.get(path))
        assert User.objects.filter(pk=bob.pk).exists()
        assert browser.post(path, {"post": "yes"}).status_code == 302
        assert not User.objects.filter(pk=bob.pk).exists()
        assert browser.post(url(User, "delete", root.pk), {"post": "yes"}).status_code == 403


def test_the_quota_is_shown_in_words(browser, make_user):
    bob = make_user("bob@example.com", quota=2 * 1024 * 1024)
    User.objects.filter(pk=bob.pk).update(used_quota=1024 * 1024)
    assert re.search(r"1\.0\sMB of 2\.0\sMB \(50 %\)", shown(browser.get(url(User, "changelist"))))


def test_a_domain_is_added_in_any_spelling_once(browser):
    data = {
        "name": "B\u00fccher.example",
        "enabled": "on",
        "max_users": "0",
        "max_quota": "0",
        "send_limit_hour": "0",
        "send_limit_day": "0",
        "greylisting": "always",
        "separator": "+",
    }
    assert browser.post(url(Domain, "add"), data).status_code == 302
    assert browser.post(url(Domain, "add"), {**data, "name": "xn--bcher-kva.example"}).status_code == 200
    assert browser.post(url(Domain, "add"), {**data, "name": "no domain"}).status_code == 200
    assert Domain.objects.filter(name="xn--bcher-kva.example").count() == 1


def test_an_alias_is_made_with_its_targets(browser, make_user):
    make_user("bob@example.com")
    data = {
        "address": "Team@example.com",
        "enabled": "on",
        "targets-TOTAL_FORMS": "2",
        "targets-INITIAL_FORMS": "0",
        "targets-0-address": "BOB@example.com",
        "targets-1-address": "ann@example.org",
    }
    assert browser.post(url(Alias, "add"), data).status_code == 302
    row = Alias.objects.get(address="team@example.com")
    assert set(row.targets.values_list("address", flat=True)) == {"bob@example.com", "ann@example.org"}
    assert browser.post(url(Alias, "add"), {**data, "address": "bob@example.com"}).status_code == 200


def test_where_an_alias_leads_is_written_down(browser, make_user):
    alias = Alias.objects.create(address="team@example.com", domain=make_user("bob@example.com").domain)
    target = AliasTarget.objects.create(alias=alias, address="bob@example.com")
    data = {
        "address": "team@example.com",
        "enabled": "on",
        "targets-TOTAL_FORMS": "1",
        "targets-INITIAL_FORMS": "1",
        "targets-0-id": str(target.pk),
        "targets-0-alias": str(alias.pk),
        "targets-0-address": "eve@example.org",
    }
    assert browser.post(url(Alias, "change", alias.pk), data).status_code == 302
    different = {"before": {"targets": ["bob@example.com"]}, "after": {"targets": ["eve@example.org"]}}
    assert different in [
        {name: entry.metadata[name] for name in different}
        for entry in AuditEntry.objects.filter(action="alias_updated")
    ]


def test_who_gets_which_permissions_is_written_down(browser):
    group, permission = Group.objects.create(name="g"), Permission.objects.order_by("pk")[0]
    answer = browser.post(url(Group, "change", group.pk), {"name": "g", "permissions": [permission.pk]})
    assert answer.status_code == 302
    entries = [entry.metadata["after"] for entry in AuditEntry.objects.filter(action="group_updated")]
    assert {"permissions": [str(permission)]} in entries


def test_a_key_is_shown_once_and_revoked(browser, client_for):
    data = {"name": "ci", "permissions": ["write", "read"], "expires_at_0": "", "expires_at_1": ""}
    answer = browser.post(url(ApiKey, "add"), data)
    secret = re.search(r"sk_live_[A-Za-z0-9_-]{43}", answer.content.decode())[0]
    assert "no-store" in answer["Cache-Control"]
    key = ApiKey.objects.get()
    assert key.digest == ApiKey.digest_of(secret)
    assert key.permissions == ["read", "write"]
    assert secret not in browser.get(url(ApiKey, "changelist")).content.decode()
    assert secret not in browser.get(url(ApiKey, "change", key.pk)).content.decode()
    assert secret not in str(list(AuditEntry.objects.values()))
    assert client_for(secret).get("/api/v1/users").status_code == 200
    browser.post(url(ApiKey, "changelist"), {"action": "revoke", "_selected_action": [key.pk]})
    assert client_for(secret).get("/api/v1/users").status_code == 401


@pytest.fixture
def client_for():
    from rest_framework.test import APIClient

    return lambda secret: APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}")


def test_a_routes_password_is_written_and_never_shown(browser):
    data = {
        "domain": "Example.ORG.",
        "host": "relay.example",
        "port": "587",
        "tls": "required",
        "username": "u",
        "enabled": "on",
    }
    assert browser.post(url(Route, "add"), data).status_code == 200  # a user name needs a password
    assert browser.post(url(Route, "add"), {**data, "password": "s3cret-word"}).status_code == 302
    route = Route.objects.get()
    assert (route.domain, route.password) == ("example.org", "s3cret-word")
    assert "s3cret-word" not in browser.get(url(Route, "change", route.pk)).content.decode()
    assert browser.post(url(Route, "change", route.pk), {**data, "port": "25"}).status_code == 302
    assert Route.objects.get().password == "s3cret-word"
    assert browser.post(url(Route, "change", route.pk), {**data, "username": ""}).status_code == 302
    assert Route.objects.get().password == ""
    assert "s3cret" not in str(list(AuditEntry.objects.values()))


class TestQueue:
    """What a person does with queued mail, and how it is found."""

    def act(self, browser, name, *entries, **more):
        data = {"action": name, "_selected_action": [entry.pk for entry in entries], **more}
        return browser.post(url(QueueEntry, "changelist"), data, follow=True)

    def test_retry_hold_and_release(self, browser):
        entry = queued("x@example.org", timezone.now())
        self.act(browser, "retry", entry)
        assert QueueEntry.objects.due(timezone.now()).count() == 1
        self.act(browser, "hold", entry)
        assert QueueEntry.objects.get().state == "held"
        self.act(browser, "release", entry)
        assert QueueEntry.objects.get().state == "queued"
        assert [entry.action for entry in AuditEntry.objects.order_by("id")] == [
            "queue_retry",
            "queue_hold",
            "queue_release",
        ]
        assert AuditEntry.objects.first().metadata["queue_ids"] == [to_text(entry.message_id)]

    def test_deleting_asks_first_and_leaves_what_is_in_flight(self, browser):
        entry, flying = queued("x@example.org", timezone.now()), queued("y@example.org", timezone.now())
        QueueEntry.objects.filter(pk=flying.pk).update(
            lease_until=timezone.now() + timedelta(minutes=1), lease_owner="w"
        )
        asked = self.act(browser, "delete_selected", entry, flying)
        assert QueueEntry.objects.count() == 2
        shown(asked)
        shown(self.act(browser, "delete_selected", entry, flying, post="yes"))
        assert list(QueueEntry.objects.open()) == [flying]
        assert "x@example.org" not in shown(browser.get(url(QueueEntry, "changelist")))
        assert AuditEntry.objects.get().action == "queue_purge"

    def test_the_trash_says_what_is_in_it_and_gives_it_back_once(self, browser):
        entry = queued("x@example.org", timezone.now())
        self.act(browser, "delete_selected", entry, post="yes")
        act = QueuePurge.objects.get()
        assert (act.messages, act.by) == (1, "root@example.com")
        data = {"action": "undo", "_selected_action": [act.pk]}
        page = shown(browser.post(url(QueuePurge, "changelist"), data, follow=True))
        assert "1 message put back." in page
        assert QueueEntry.objects.due(timezone.now() + timedelta(hours=2)).get() == entry
        assert "already" in shown(browser.post(url(QueuePurge, "changelist"), data, follow=True))
        actions = list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))
        assert actions == ["queue_purge", "queue_purge_undone"]

    def test_lanes_are_a_filter(self, browser):
        queued("x@example.org", timezone.now())
        for lane, found in (("retry", 1), ("outgoing", 0)):
            page = browser.get(url(QueueEntry, "changelist"), {"message__lane__exact": lane})
            assert page.context["cl"].result_count == found

    @pytest.mark.parametrize(
        ("text", "found"),
        [("x@exam", 1), ("X@EXAMPLE.org", 1), ("example.org", 2), ("bob@", 3), ("nobody", 0), ("%", 0), ("_@", 0)],
    )
    def test_searching(self, browser, text, found):
        for recipient in ("x@example.org", "y@example.org", "z@example.net"):
            queued(recipient, timezone.now())
        page = browser.get(url(QueueEntry, "changelist"), {"q": text})
        assert page.context["cl"].result_count == found

    def test_searching_by_queue_id(self, browser):
        entry = queued("x@example.org", timezone.now())
        queued("y@example.org", timezone.now())
        for model in (QueueEntry, MessageTrace):
            page = browser.get(url(model, "changelist"), {"q": to_text(entry.message_id)})
            assert page.context["cl"].result_count == 1


def test_the_log_is_searched_by_message_id_and_by_the_beginning_of_addresses(browser):
    for n, (sender, recipient) in enumerate([("a@example.com", "x@example.org"), ("ab@example.com", "a@example.com")]):
        MessageTrace.objects.create(
            message=n, direction="in", status="delivered", sender=sender, recipient=recipient, message_id=f"<{n}@x>"
        )
    for text, found in (("<1@x>", 1), ("a@", 2), ("ab", 1), ("x@example.org", 1), ("example", 0)):
        page = browser.get(url(MessageTrace, "changelist"), {"q": text})
        assert page.context["cl"].result_count == found, text


def test_the_log_is_never_counted_to_the_end(browser, monkeypatch):
    from a3mailer_site import paging

    monkeypatch.setattr(paging, "MOST", 5)
    MessageTrace.objects.bulk_create(
        [MessageTrace(message=n, direction="in", status="sent", recipient="x@example.org") for n in range(9)]
    )
    page = browser.get(url(MessageTrace, "changelist"))
    assert page.context["cl"].result_count == 5


def test_a_timeline_tells_the_whole_story(browser):
    now = timezone.now()
    entry = queued("x@example.org", now)
    message, trace = entry.message_id, entry.trace_id
    story = [
        ("received", None, {"peer": "192.0.2.7", "helo": NASTY, "tls": {"version": "TLSv1.3", "cipher": "TLS_AES"}, "login": "bob", "size": 2048, "recipients": 2}),  # noqa: E501
        ("received", None, {"peer": None, "tls": None}),
        ("delivered", trace, {"mailbox": "INBOX", "user": 1, "uid": 7}),
        ("queued", trace, {"destination": "example.org"}),
        ("attempt", trace, {"number": 1, "host": "mx.example.org", "address": "192.0.2.9", "tls": "TLSv1.2 X", "code": 451, "enhanced": "4.7.1", "reply": f"Greylisted {NASTY}", "outcome": "deferred", "duration_ms": 1234}),  # noqa: E501
        ("deferred", trace, {"reply": "later", "next_attempt_at": "2026-01-02T03:04:05Z"}),
        ("attempt", trace, {"number": 2, "outcome": "failed"}),
        ("failed", trace, {"reply": "no"}),
        ("bounced", trace, {"notice": "0abc"}),
        ("delay", trace, {"notice": "0abd"}),
        ("held", trace, {"by": "root"}),
        ("released", trace, {"by": "root"}),
        ("retried", trace, {}),
        ("purged", trace, {"by": "root", "purge_id": "purge_1"}),
        ("restored", trace, {"by": "root", "purge_id": "purge_1"}),
        ("sent", trace, {}),
        ("mailbox", trace, {"what": "moved"}),
    ]  # fmt: skip
    for kind, trace_id, detail in story:
        MessageEvent.objects.create(message=message, trace_id=trace_id, kind=kind, detail=detail)
    path = reverse("admin:mailqueue_messagetrace_timeline", args=[to_text(message)])
    text = shown(browser.get(path))
    for words in (
        "192.0.2.7",
        "TLSv1.3, TLS_AES",
        "Logged in as bob",
        "2 recipients",
        "Into the mailbox INBOX",
        "mx.example.org [192.0.2.9]",
        "451 4.7.1 Greylisted",
        "1.2 s",
        "2026-01-02 03:04:05",
        "By root.",
        "&lt;script&gt;",
        "next attempt",
    ):
        assert words in text, words
    assert text.count('class="a3-step') == len(story)
    browser.cookies["django_language"] = "zh-hans"
    shown(browser.get(path))


@pytest.mark.parametrize("text", ["0000000000000", "nonsense", "zzzzzzzzzzzzz", "ABC"])
def test_a_timeline_that_nobody_has_is_404(browser, text):
    assert browser.get(f"/admin/mailqueue/messagetrace/timeline/{text}").status_code == 404


def test_an_administrator_of_little_sees_little(client, make_user):
    staff = make_user("staff@example.com", is_staff=True)
    client.force_login(staff, backend="accounts.passwords.PasswordBackend")
    entry = queued("x@example.org", timezone.now())
    assert client.get("/admin/").status_code == 200
    for model in OURS:
        assert client.get(url(model, "changelist")).status_code == 403
    path = reverse("admin:mailqueue_messagetrace_timeline", args=[to_text(entry.message_id)])
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("model", [AuditEntry, LoginFailure, MessageTrace])
def test_logs_are_not_changed_by_anybody(browser, three, model):
    row = model.objects.first()
    assert browser.post(url(model, "change", row.pk), {"action": "x"}).status_code == 403
    assert browser.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert browser.get(url(model, "add")).status_code == 403


class TestStaffWithEveryPermission:
    """Somebody on the staff who may do everything but is no administrator does not become one."""

    @pytest.fixture
    def staff(self, client, make_user):
        user = make_user("staff@example.com", is_staff=True)
        user.user_permissions.set(Permission.objects.all())
        client.force_login(user, backend="accounts.passwords.PasswordBackend")
        return client

    def post(self, client, page, *args, model=User, **fields):
        given = {name: value for name, value in fields.items() if value is not None}
        return client.post(url(model, page, *args), given)

    def test_gives_no_power_to_others(self, staff, make_user):
        bob = make_user("bob@example.com")
        power = {"is_staff": "on", "is_superuser": "on", "user_permissions": "1"}
        fields = {
            "username": "bob",
            "email": "bob@example.com",
            "is_active": "on",
            "quota": "7",
            "undo_seconds": "0",
            **power,
        }
        assert self.post(staff, "change", bob.pk, **fields).status_code == 302
        bob.refresh_from_db()
        assert bob.quota == 7
        assert [bob.is_staff, bob.is_superuser, bob.user_permissions.exists()] == [False] * 3
        new = {
            "username": "eve",
            "email": "eve@example.com",
            "password1": PASSWORD,
            "password2": PASSWORD,
            "quota": "0",
            "undo_seconds": "0",
        }
        assert self.post(staff, "add", **new, **power).status_code == 302
        assert not User.objects.get(username="eve").is_staff

    def test_does_not_touch_administrators(self, staff, root, make_user):
        make_user("second@example.com", is_staff=True, is_superuser=True)  # the last one stays for another reason
        before = User.objects.values().get(pk=root.pk)
        fields = {"username": "x", "email": "x@example.com", "quota": "0"}
        assert self.post(staff, "change", root.pk, **fields).status_code == 403
        password = {"password1": "another " + PASSWORD, "password2": "another " + PASSWORD}
        assert staff.post(reverse("admin:auth_user_password_change", args=[root.pk]), password).status_code == 403
        assert self.post(staff, "delete", root.pk, post="yes").status_code == 403
        for action in ("disable", "delete_selected"):
            staff.post(url(User, "changelist"), {"action": action, "_selected_action": [root.pk], "post": "yes"})
        assert User.objects.values().get(pk=root.pk) == before

    def test_deletes_none_of_several_where_one_has_power(self, staff, root, make_user):
        make_user("second@example.com", is_staff=True, is_superuser=True)
        bob = make_user("bob@example.com")
        select = {"action": "delete_selected", "_selected_action": [bob.pk, root.pk], "post": "yes"}
        assert staff.post(url(User, "changelist"), select).status_code in {200, 403}
        assert set(User.objects.filter(pk__in=[bob.pk, root.pk])) == {bob, root}

    def test_makes_no_keys_and_changes_no_groups(self, staff):
        assert self.post(staff, "add", model=ApiKey, name="x", permissions="admin").status_code == 403
        assert not ApiKey.objects.exists()
        group = Group.objects.create(name="g")
        assert self.post(staff, "change", group.pk, model=Group, name="g", permissions="1").status_code == 403
        assert self.post(staff, "add", model=Group, name="h", permissions="1").status_code == 403


def test_a_webhook_is_made_and_its_secret_shown_once(browser):
    form = {
        "url": "https://hook.example/mail",
        "description": "",
        "events": ["bounced"],
        "domains": [],
        "enabled": "on",
    }
    page = browser.post(url(Webhook, "add"), form, follow=True)
    webhook = Webhook.objects.get()
    assert (webhook.events, webhook.domains, webhook.enabled) == (["bounced"], None, True)
    assert b"whsec_" in page.content
    assert b"whsec_" not in browser.get(url(Webhook, "changelist")).content
    refused = browser.post(url(Webhook, "add"), {**form, "url": "https://10.0.0.1/"})
    assert b"A3MAILER_WEBHOOK_TARGETS" in refused.content
    browser.post(url(Webhook, "changelist"), {"action": "test", "_selected_action": [webhook.pk]})
    assert [row.kind for row in WebhookDelivery.objects.all()] == ["test"]
    again = {"action": "rotate_secret", "_selected_action": [webhook.pk]}
    assert b"whsec_" in browser.post(url(Webhook, "changelist"), again, follow=True).content
    assert AuditEntry.objects.filter(action="webhook_created").exists()


def test_a_destination_is_paused_and_let_go(browser):
    page = browser.post(url(QueueDestination, "add"), {"name": "Bücher.example", "reason": "moving"}, follow=True)
    assert page.status_code == 200
    row = QueueDestination.objects.get()
    assert (row.name, row.paused, row.reason, row.paused_by) == (
        "xn--bcher-kva.example",
        True,
        "moving",
        "root@example.com",
    )
    assert b"moving" in browser.get(url(QueueDestination, "changelist")).content
    browser.post(url(QueueDestination, "add"), {"name": "bücher.example", "reason": "again"})
    assert QueueDestination.objects.get().reason == "again"
    assert b"errorlist" in browser.post(url(QueueDestination, "add"), {"name": "no domain"}).content
    browser.post(url(QueueDestination, "changelist"), {"action": "resume", "_selected_action": [row.pk]})
    assert not QueueDestination.objects.get().paused
    browser.post(url(QueueDestination, "changelist"), {"action": "pause", "_selected_action": [row.pk]})
    assert QueueDestination.objects.get().paused
    actions = AuditEntry.objects.order_by("pk").values_list("action", flat=True)
    assert [action for action in actions if action.startswith("queue_")] == [
        "queue_paused",
        "queue_paused",
        "queue_resumed",
        "queue_paused",
    ]
