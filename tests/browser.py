"""A real Chromium without a window and without a network: everything that it loads must come from the server."""

import contextlib
import json
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
HOST = "127.0.0.1"


class Browser:
    """Chromium on one server; ``problems()`` and ``hosts()`` say what went wrong, and where it has been."""

    def __init__(self, port, directory, size="1280,1000"):
        options = Options()
        options.binary_location = str(CHROMIUM)
        for argument in (
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--lang=en",
            f"--window-size={size}",
            f"--user-data-dir={directory}",
            f"--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE {HOST}",
        ):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options, Service(str(DRIVER)))
        self.driver.set_page_load_timeout(60)
        self.base = f"http://{HOST}:{port}"
        self._problems, self._urls = [], []

    def open(self, path):
        """Go to a path of the server."""
        self.driver.get(self.base + path)

    def find(self, selector):
        """All elements that match a CSS selector."""
        return self.driver.find_elements("css selector", selector)

    def problems(self):
        """Lines of the console that are warnings or errors, since the beginning."""
        self._problems += [
            line["message"] for line in self.driver.get_log("browser") if line["level"] in {"SEVERE", "WARNING"}
        ]
        return self._problems

    def hosts(self):
        """Origins of everything that was asked for over a network, since the beginning."""
        for line in self.driver.get_log("performance"):
            message = json.loads(line["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self._urls.append(message["params"]["request"]["url"])
        return {
            "/".join(url.split("/")[:3]) for url in self._urls if url.startswith(("http:", "https:", "ws:", "wss:"))
        }

    def picture(self, path):
        """Save what can be seen."""
        self.driver.save_screenshot(str(path))

    def close(self):
        """End it."""
        with contextlib.suppress(Exception):
            self.driver.quit()
