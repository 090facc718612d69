"""The Python client is tested from its source; it is installed nowhere."""

import sys

from operations import SDK

sys.path.insert(0, str(SDK / "python" / "src"))
