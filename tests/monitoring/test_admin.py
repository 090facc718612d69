"""Custom metrics in the web administration: they are looked at and deleted, not made and not changed."""

import pytest
from django.urls import reverse

from monitoring.models import CustomMetric, CustomSeries
from security.models import AuditEntry

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(client, make_user):
    root = make_user("root@example.com", is_staff=True, is_superuser=True)
    client.force_login(root, backend="accounts.passwords.PasswordBackend")
    return client


@pytest.fixture
def metric():
    metric = CustomMetric.objects.create(name="jobs_done", kind="counter")
    CustomSeries.objects.create(metric=metric, key="x", labels={"queue": "night"}, value=7)
    return metric


def test_nobody_adds_or_changes_one(browser, metric):
    change = reverse("admin:monitoring_custommetric_change", args=[metric.pk])
    assert browser.get(reverse("admin:monitoring_custommetric_add")).status_code == 403
    assert browser.post(change, {"name": "x", "kind": "gauge"}).status_code == 403
    metric.refresh_from_db()
    assert (metric.name, metric.kind) == ("jobs_done", "counter")


def test_a_metric_is_shown_with_its_values(browser, metric):
    listed = browser.get(reverse("admin:monitoring_custommetric_changelist"), {"q": "jobs"}).content.decode()
    assert "jobs_done" in listed
    shown = browser.get(reverse("admin:monitoring_custommetric_change", args=[metric.pk])).content.decode()
    assert "night" in shown
    assert "7.0" in shown


def test_a_deleted_metric_is_in_the_audit_log(browser, metric):
    path = reverse("admin:monitoring_custommetric_delete", args=[metric.pk])
    assert browser.post(path, {"post": "yes"}).status_code == 302
    assert not CustomSeries.objects.exists()
    entry = AuditEntry.objects.get(action="custommetric_deleted")
    assert entry.metadata["before"] == {"name": "jobs_done", "kind": "counter"}
    assert entry.metadata["by"] == "web admin"
