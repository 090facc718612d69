"""The API in a real browser: its documentation and its pages work offline, under our policy, and change things.

With ``A3MAILER_PICTURES=directory`` what can be seen is saved there.
"""

import json
import os
from pathlib import Path

import pytest
from selenium.common.exceptions import StaleElementReferenceException

from browser import CHROMIUM, DRIVER, Browser
from wire import until

pytestmark = pytest.mark.flow


@pytest.fixture
def browser(server, tmp_path):
    if not (CHROMIUM.exists() and DRIVER.exists()):
        pytest.skip("Debian's chromium and chromium-driver are not installed")
    one = Browser(server.ports["http"], tmp_path)
    yield one
    one.close()


def look(browser, name):
    if os.environ.get("A3MAILER_PICTURES"):
        browser.picture(Path(os.environ["A3MAILER_PICTURES"]) / f"{name}.png")


def log_in(browser, server):
    browser.open("/admin/login/?next=/api/v1/domains")
    admin = server.credentials["admin"]
    browser.find("input[name=username]")[0].send_keys(admin["username"])
    password = browser.find("input[name=password]")[0]
    password.send_keys(admin["password"])
    password.submit()
    until(lambda: browser.driver.current_url.endswith("/api/v1/domains"), 30, "nobody is logged in")


def is_clean(browser):
    assert browser.problems() == []
    assert browser.hosts() == {browser.base}


def test_the_documentation_shows_every_operation_and_tries_one(server, browser):
    browser.open("/api/v1/docs")
    blocks = until(lambda: len(found := browser.find(".opblock")) > 20 and found, 60, "no operations are shown")
    tags = [tag.text.split("\n")[0] for tag in browser.find(".opblock-tag")]
    assert {"auth", "aliases", "groups", "users"} <= set(tags)
    assert "A3Mailer" in browser.find(".info .title")[0].text
    look(browser, "docs")

    browser.find(".btn.authorize")[0].click()
    field = until(lambda: browser.find(".auth-container input[type=text], .auth-container input[type=password]"), 30)[0]
    field.send_keys(server.credentials["api_key"])
    browser.find(".auth-btn-wrapper .authorize")[0].click()
    browser.find(".auth-btn-wrapper .btn-done")[0].click()

    block = next(one for one in blocks if one.get_attribute("id").endswith("server_info_retrieve"))
    block.find_element("css selector", ".opblock-summary-control").click()
    until(lambda: block.find_elements("css selector", ".try-out__btn"), 30)[0].click()
    until(lambda: block.find_elements("css selector", ".execute"), 30)[0].click()
    status = until(lambda: block.find_elements("css selector", ".live-responses-table .response-col_status"), 30)
    until(lambda: any(one.text.startswith("200") for one in status), 30, f"answered {[one.text for one in status]}")
    answer = block.find_element("css selector", ".live-responses-table .response-col_description pre").text
    assert json.loads(answer)["hostname"] == f"mail.{server.domain}"
    look(browser, "docs-tried")
    is_clean(browser)


def test_the_pages_of_the_api_show_and_change_after_a_login(server, browser):
    browser.open("/api/v1/domains")
    assert "UNAUTHORIZED" in browser.find(".response-info")[0].text
    assert browser.find("a[href^='/admin/login/?next=/api/v1/domains']")
    # That it said 401 is in the console, as it should be; from here on there is nothing to say.
    assert all("401" in line for line in browser.problems())
    browser._problems.clear()

    log_in(browser, server)
    assert server.domain in browser.find(".response-info")[0].text
    look(browser, "pages-list")

    browser.open("/api/v1/aliases")
    content = browser.find("#post-generic-content-form textarea[name=_content]")[0]
    content.clear()
    address = f"from-browser@{server.domain}"
    content.send_keys(json.dumps({"address": address, "targets": ["x@example.org"]}))
    button = browser.find("#post-generic-content-form button")[0]
    browser.driver.execute_script("arguments[0].scrollIntoView()", button)
    button.click()

    def answered():
        """What is shown, once it is the answer to the POST: the old page may go away while it is read."""
        try:
            text = "".join(part.text for part in browser.find(".response-info"))
        except StaleElementReferenceException:
            return ""
        return text if "HTTP 201" in text else ""

    text = until(answered, 30, "no 201")
    assert address in text
    look(browser, "pages-created")

    # Without the token the same session changes nothing: what another site could have the browser send.
    answer = browser.driver.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "const headers = {'Content-Type': 'application/json'};"
        "fetch('/api/v1/groups', {method: 'POST', headers, body: '{\"name\": \"g\"}'})"
        ".then(async r => done([r.status, await r.json()]));"
    )
    assert answer[0] == 403
    assert answer[1]["error"]["code"] == "FORBIDDEN"
    assert all("403" in line for line in browser.problems())
    browser._problems.clear()
    is_clean(browser)


def test_every_page_of_a_list_renders_in_both_languages(server, browser):
    log_in(browser, server)
    for language in ("en", "zh-hans"):
        browser.driver.add_cookie({"name": "django_language", "value": language})
        for path in (
            "users",
            "domains",
            "aliases",
            "groups",
            "auth/keys",
            "server/info",
            "users/user_1",
            "groups/group_admin",
        ):
            browser.open(f"/api/v1/{path}")
            assert "HTTP 200" in browser.find(".response-info")[0].text, path
    is_clean(browser)
