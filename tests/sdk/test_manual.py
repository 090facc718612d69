"""``docs/api.md`` has a curl for every operation, and each of them is one that a shell and a server understand."""

import shlex
import sys

from operations import OPERATIONS, SDK

sys.path.insert(0, str(SDK))


def test_the_page_says_what_the_description_says():
    from manual import PAGE, page

    text = PAGE.read_text()
    assert page(text) == text, "python sdk/manual.py"
    for operation in OPERATIONS:
        assert f"### `{operation.method} {operation.path}`" in text


def test_a_shell_reads_every_curl_as_one_command():
    from manual import PAGE

    commands = [block.partition("```")[0] for block in PAGE.read_text().split("```bash\ncurl ")[1:]]
    assert len(commands) == len(OPERATIONS)
    for command, operation in zip(commands, OPERATIONS, strict=True):
        words = shlex.split(command.replace("\\\n", ""))
        assert ("-X" in words) == (operation.method != "GET")
        assert any(operation.target in word for word in words)
