"""The README's code blocks, and its commands as processes of their own."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEADLINE = 30


def block(language: str, first_line: str) -> str:
    """The one code block of the README in this language that begins with this line."""
    blocks = re.findall(
        rf"^```{language}\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    (found,) = (text for text in blocks if text.startswith(first_line + "\n"))
    return str(found)


def on_loopback(words: Iterable[str], replaced: Mapping[str, str]) -> list[str]:
    """A command's words with hosts and folders of a stack replaced by ours."""
    found = []
    for word in words:
        for old, new in replaced.items():
            word = word.replace(old, new)
        found.append(word)
    return found


@contextmanager
def relay(words: list[str], environment: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    """`wsproxy WORDS` as a process: (its port, its control port) while it runs; it must end well."""
    ready, ready_end = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "wsproxy", *words, "--ready-fd", str(ready_end)],
        pass_fds=[ready_end],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
    )
    os.close(ready_end)
    try:
        with os.fdopen(ready) as pipe:
            assert select.select([pipe], [], [], DEADLINE)[0], "the relay says nothing"
            ports = json.loads(pipe.readline())
        yield ports["port"], ports["control_port"]
    finally:
        process.terminate()
        assert process.wait(DEADLINE) == 0
