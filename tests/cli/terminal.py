"""Runs the real command with a real terminal at its standard error, and anything at its standard output."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

from .command import DEADLINE

# The command with other patience: what a fast machine never shows is shown at once, what a slow one might is never shown.
_PATIENT = (
    "import sys; from wsproxy.cli import main, progress; progress.PATIENCE = {}; progress.EVERY = 0; main(sys.argv[1:])"
)


class Sent(NamedTuple):
    """What the terminal was sent, what went to standard output if that was another place, and the exit status."""

    terminal: str
    output: str
    status: int


def in_a_terminal(*args: str | Path, stdout: str, patience: float, folder: Path, **environment: str) -> Sent:
    """Run `wsproxy ARGS`.

    Args:
        stdout: "terminal", "pipe" or "file".
        patience: seconds until there is a progress bar.
        folder: where the file is made.
    """
    ours, theirs = pty.openpty()
    file = folder / "output"
    with file.open("wb") as written:
        where = {"terminal": theirs, "pipe": subprocess.PIPE, "file": written}[stdout]
        process = subprocess.Popen(
            [sys.executable, "-c", _PATIENT.format(patience), *map(str, args)],
            stdin=theirs,
            stdout=where,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "10000", **environment},
        )
    os.close(theirs)
    piped: list[bytes] = []
    taking = threading.Thread(target=lambda: piped.append(process.stdout.read() if process.stdout else b""))
    taking.start()
    sent = until_its_end(ours)
    status = process.wait(DEADLINE)
    taking.join(DEADLINE)
    if process.stdout:
        process.stdout.close()
    output = piped[0] if stdout == "pipe" else file.read_bytes()
    return Sent(sent.decode().replace("\r\n", "\n"), output.decode(), status)


def until_its_end(ours: int) -> bytes:
    """What a terminal is sent until its last writer has gone; closes our end of it."""
    sent = b""
    while True:
        try:
            block = os.read(ours, 65536)
        except OSError:  # Linux says EIO then
            break
        if not block:
            break
        sent += block
    os.close(ours)
    return sent
