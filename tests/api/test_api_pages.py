"""The pages of the API: every GET of the document but /metrics is a page for an administrator's browser."""

import re

import pytest
from described import Ids, operations, records
from rest_framework.test import APIClient

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize("path", [path for _method, path, _operation in operations("get") if path != "/metrics"])
def test_every_get_is_a_page(make_user, path, language):
    make_user("root@example.com", is_staff=True, is_superuser=True)
    client = APIClient(HTTP_ACCEPT="text/html,*/*;q=0.8", HTTP_ACCEPT_LANGUAGE=language)
    assert client.login(username="root@example.com", password="correct horse battery")
    response = client.get(path.format_map(Ids(records())))
    assert response.status_code in {200, 404, 503}, response.content[:300]
    assert response["Content-Type"].startswith("text/html"), response.content[:300]
    text = response.content.decode()
    assert "django-rest-framework.org" not in text
    assert not re.search(r"""(?:src|<link[^>]*href)=["'](?:https?:)?//""", text)
    assert "<script>" not in text
    assert '<meta name="viewport" content="width=device-width' in text


def test_strangers_get_a_page_that_leads_to_the_login(db):
    response = APIClient(HTTP_ACCEPT="text/html").get("/api/v1/users")
    assert response.status_code == 401
    assert b'href="/admin/login/?next=/api/v1/users"' in response.content
    hostile = APIClient(HTTP_ACCEPT="text/html").get('/api/v1/users?search="><script>alert(1)</script>')
    assert b"<script>alert" not in hostile.content
