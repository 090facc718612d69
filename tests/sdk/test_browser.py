"""The JavaScript client in a browser: a page of the server's own address loads it and calls the API."""

import shutil
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from callers import installed
from operations import SDK

pytestmark = [pytest.mark.flow, pytest.mark.peer]

PAGE = b"""<!doctype html><title>waiting</title><script type="module">
import { A3MailerClient, UnauthorizedError } from "/sdk/index.mjs";
const client = (apiKey) => new A3MailerClient({ baseUrl: location.origin, apiKey });
try {
  const info = await client("THE-KEY").server.getInfo();
  const refusal = await client("wrong").users.list().catch((error) => error);
  document.title = `${info.hostname} ${refusal instanceof UnauthorizedError}`;
} catch (error) {
  document.title = `failed ${error}`;
}
</script>"""


@pytest.fixture
def origin(mail_server):
    """One address that has a page, the client's files and the API."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/":
                return self.answer(200, "text/html", PAGE.replace(b"THE-KEY", mail_server.key.encode()))
            if self.path.startswith("/sdk/"):
                file = SDK / "javascript" / "src" / self.path.removeprefix("/sdk/")
                return self.answer(200, "text/javascript", file.read_bytes())
            headers = {name: self.headers[name] for name in ("Authorization", "Accept") if name in self.headers}
            request = urllib.request.Request(mail_server.url + self.path, headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return self.answer(answer.status, "application/json", answer.read())
            except urllib.error.HTTPError as error:
                return self.answer(error.code, "application/json", error.read())

        def answer(self, status, kind, content):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_page_calls_the_api_and_knows_its_errors(origin, mail_server):
    from selenium import webdriver
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    for switch in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(switch)
    service = webdriver.ChromeService(executable_path=shutil.which(installed("chromedriver")))
    browser = webdriver.Chrome(options=options, service=service)
    try:
        browser.get(origin)
        WebDriverWait(browser, 60).until(lambda page: page.title != "waiting")
        assert browser.title == f"mail.{mail_server.domain} true"
    finally:
        browser.quit()
