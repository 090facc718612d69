"""The fuzz targets themselves: each takes its seeds, and a second of mutations, without a finding."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("target", ["imap.py", "message.py", "pop3.py"])
def test_a_target_runs_without_a_finding(target):
    script = Path(__file__).with_name(target)
    command = [sys.executable, script, "--mutations", "--seconds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no finding" in done.stdout
