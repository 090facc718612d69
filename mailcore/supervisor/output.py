"""Passes on what the children write to standard error: whole lines, and never waiting for whoever reads them.

A line of a child is a JSON object already, or (what Python prints when it dies) is made into one.
"""

import json
import os
import queue
import threading
import time

# Lines that may wait when nobody reads standard error; beyond that they are counted and lost, the mail goes on.
_WAITING = 10_000
_LONGEST_LINE = 64 * 1024


class Output:
    """Standard error of the whole server."""

    def __init__(self, descriptor: int, *, as_json: bool) -> None:
        self._descriptor = descriptor
        self._as_json = as_json
        self._lines: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        self._lost = 0
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def line(self, process: str, pid: int, line: bytes) -> None:
        """Write one line of a child, without its line end."""
        if not line:
            return
        if self._as_json and not (line.startswith(b"{") and line.endswith(b"}")):
            line = _wrapped(process, pid, line)
        try:
            self._lines.put_nowait(line + b"\n")
        except queue.Full:
            self._lost += 1

    def close(self) -> None:
        """Write what waits, for at most two seconds."""
        try:
            self._lines.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(2.0)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            if self._lost:
                lost, self._lost = self._lost, 0
                self._write_all(_wrapped("supervisor", os.getpid(), f"{lost} log lines lost".encode()) + b"\n")
            if not self._write_all(line):
                return

    def _write_all(self, data: bytes) -> bool:
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                return False  # nobody will ever read it
        return True


class Lines:
    """Cuts the output of one child into lines."""

    def __init__(self, output: Output, process: str, pid: int) -> None:
        self._output = output
        self._process = process
        self._pid = pid
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take bytes as they come."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._output.line(self._process, self._pid, line)
        if len(self._rest) > _LONGEST_LINE:
            self.end()

    def end(self) -> None:
        """Write what came last, without a line end."""
        rest, self._rest = self._rest, b""
        self._output.line(self._process, self._pid, rest)


def _wrapped(process: str, pid: int, line: bytes) -> bytes:
    event = {
        "event": line.decode("utf-8", "replace"),
        "level": "error",
        "logger": "stderr",
        "process": process,
        "pid": pid,
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    return json.dumps(event, ensure_ascii=False).encode()
