"""How large the body of a request to a page may be."""

import pytest
from django.test import Client

from a3mailer_site.api.middleware import PAGE_BODY_LIMIT


@pytest.mark.parametrize(("language", "words"), [("en", "too large"), ("zh-hans", "请求")])
def test_nobody_fills_the_memory_through_the_login_page(db, language, words):
    answer = Client(headers={"Accept-Language": language}).post(
        "/admin/login/", b"x" * (PAGE_BODY_LIMIT + 1), content_type="application/x-www-form-urlencoded"
    )
    assert answer.status_code == 413
    assert words in answer.content.decode()


def test_a_form_of_that_size_is_looked_at(db):
    answer = Client().post(
        "/admin/login/", b"a=" + b"x" * (PAGE_BODY_LIMIT - 2), content_type="application/x-www-form-urlencoded"
    )
    assert answer.status_code == 200
