"""The crontab that we hand out runs every maintenance command, and only commands that there are."""

import re
from pathlib import Path

from django.core.management import get_commands

CRONTAB = Path(__file__).resolve().parents[2] / "docs" / "crontab.example"


def test_every_maintenance_command_is_in_it_once():
    commands = re.findall(r"\$MANAGE (\w+)", CRONTAB.read_text(encoding="utf-8"))
    assert len(commands) == len(set(commands))
    assert set(commands) <= set(get_commands())
    assert set(commands) >= {
        "expireblocks",
        "prunebodies",
        "purgeaudit",
        "purgeevents",
        "purgetrash",
        "verifyaudit",
    }
