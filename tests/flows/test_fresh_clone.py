"""A fresh clone in an empty directory: one command, and a person can use the server."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from peers import programs
from server import HOST, LISTENERS, ROOT, free_ports
from wire import Imap, until

pytestmark = [pytest.mark.flow, pytest.mark.peer, pytest.mark.long]


@pytest.mark.timeout(900)
def test_make_run_in_a_fresh_clone_gives_a_server_that_works(tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("A3MAILER_", "DATABASE_"))},
        "A3MAILER_DATA_DIR": str(tmp_path / "data"),
        **{f"A3MAILER_{name.upper()}_LISTEN": f"{HOST}:{port}" for name, port in ports.items()},
    }
    environment.pop("VIRTUAL_ENV", None)
    log = tmp_path / "log"
    with log.open("wb") as output:
        run = subprocess.Popen(
            ["make", "run", f"PYTHON={sys.executable}"],
            cwd=clone,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        until(lambda: run.poll() is not None or b"the server is up" in log.read_bytes(), 600)
        assert run.poll() is None, log.read_text()
        # Not a terminal: the secrets are in a file that only the owner can read, and not in what was printed.
        (secrets,) = [path for path in (tmp_path / "data").glob("*") if "credential" in path.name]
        assert secrets.stat().st_mode & 0o077 == 0
        made = json.loads(secrets.read_text())
        address, password = made["mailbox"]["address"], made["mailbox"]["password"]
        assert password not in log.read_text()
        assert made["api_key"] not in log.read_text()
        programs.swaks(tmp_path, ports["smtp"], "friend@example.net", address, "-tls", "--body", "first mail")
        with Imap(ports["imaps"], tls=True) as imap:
            assert imap.login(address, password).startswith(b"OK")
            imap.fine(b"SELECT INBOX")
            (content,) = imap.bodies().values()
            assert b"first mail" in content
        python = clone / ".venv" / "bin" / "python"
        again = subprocess.run(
            [python, "manage.py", "quickstart", "--json"], cwd=clone, env=environment, check=True, capture_output=True
        )
        second = json.loads(again.stdout)
        assert second["admin"]["password"] is None
        assert second["mailbox"]["password"] is None
        assert second["api_key"] is None
        assert second["mailbox"]["address"] == address
    finally:
        os.killpg(run.pid, signal.SIGTERM)
        run.wait(60)
        shutil.rmtree(Path(clone), ignore_errors=True)
