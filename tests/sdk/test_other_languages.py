"""The clients in JavaScript and Go pass their own tests, which hold them to the same description."""

import subprocess

import pytest
from callers import GO, installed
from operations import SDK

pytestmark = pytest.mark.peer


def run(*command, where, environment=None):
    installed(command[0])
    done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_javascript_client_passes_its_tests():
    assert "\n# fail 0\n" in run(
        "node", "--test", "--test-reporter=tap", "test/client.test.mjs", where=SDK / "javascript"
    )


@pytest.mark.xdist_group("go")
@pytest.mark.parametrize("module", ["go", "go/alias"])
def test_the_go_client_passes_its_tests(module):
    where = SDK / module
    assert run("gofmt", "-l", ".", where=where) == ""
    run("go", "vet", "./...", where=where, environment=GO)
    run("go", "test", "-count=1", "./...", where=where, environment=GO)
