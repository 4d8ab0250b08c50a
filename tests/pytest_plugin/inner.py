"""Test suites of users, run by a pytest of their own."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

PLUGIN = ("-p", "wsproxy.pytest_plugin")


class Inner:
    """A user's test suite in an empty folder.

    Args:
        upstream: the real server's URL, which the tests find in the environment.
    """

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, upstream: str) -> None:
        self._pytester = pytester
        self._monkeypatch = monkeypatch
        self.folder = pytester.path
        for name in ("CI", "WSPROXY_CASSETTES", "PYTEST_ADDOPTS"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        monkeypatch.setenv("UPSTREAM", upstream)
        # The suites call `ask` and `hook`; the library behind them is their own choice.
        self.write("talk.py", TALK)

    def write(self, name: str, text: str) -> None:
        """A file of the suite."""
        (self.folder / name).write_text(text)

    def environment(self, **variables: str) -> None:
        """Variables for the runs that follow."""
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)

    def forget(self, name: str) -> None:
        """No such variable any more."""
        self._monkeypatch.delenv(name)

    def run(self, *options: str) -> Ran:
        """Run the suite."""
        result = self._pytester.runpytest_subprocess(
            *PLUGIN, "-p", "no:cacheprovider", "-W", "error", "-rA", *options, timeout=60
        )
        return Ran(result)

    def cassettes(self) -> list[str]:
        """All files below folders named `cassettes`."""
        found = (path.relative_to(self.folder) for path in self.folder.glob("**/cassettes/**/*") if path.is_file())
        return sorted(map(str, found))

    def cassette(self, name: str) -> Path:
        return self.folder / "cassettes" / name


class Ran:
    """How a run went."""

    def __init__(self, result: pytest.RunResult) -> None:
        self._result = result
        self.text = result.stdout.str() + result.stderr.str()

    def went(self, **outcomes: int) -> Ran:
        """Check the numbers of passed, failed, errors."""
        self._result.assert_outcomes(**outcomes)
        assert "site-packages/wsproxy" not in self.text and f"{os.sep}wsproxy{os.sep}pytest_plugin" not in self.text
        return self

    def says(self, *texts: str) -> Ran:
        """Check that the output has these lines, in this order, among others; `*` is anything."""
        lines = self.text.splitlines()
        at = 0
        for text in texts:
            pattern = ".*".join(map(re.escape, text.split("*")))
            found = next((n for n in range(at, len(lines)) if re.search(pattern, lines[n])), None)
            assert found is not None, f"no line {text!r} after line {at} of\n{self.text}"
            at = found
        return self


TALK = '''
"""Clients of three libraries that ask a server questions."""
import json
import os
import time
import urllib.request
import uuid

UPSTREAM = os.environ["UPSTREAM"]


def ask(url, *texts, **fields):
    from websockets.sync.client import connect

    with connect(url) as socket:
        answers = []
        for text in texts:
            asked = {"type": "ASK", "id": str(uuid.uuid4()), "created": time.time(), "text": text, **fields}
            socket.send(json.dumps(asked))
            answers.append(json.loads(socket.recv())["text"])
        socket.send(json.dumps({"type": "END"}))
        return answers


async def ask_websockets(url, *texts):
    from websockets.asyncio.client import connect

    async with connect(url) as socket:
        answers = []
        for text in texts:
            await socket.send(json.dumps({"type": "ASK", "text": text}))
            answers.append(json.loads(await socket.recv())["text"])
        return answers


async def ask_aiohttp(url, *texts):
    import aiohttp

    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        answers = []
        for text in texts:
            await socket.send_json({"type": "ASK", "text": text})
            answers.append((await socket.receive_json())["text"])
        return answers


def hook(url, name, text, **headers):
    body = json.dumps({"text": text}).encode()
    request = urllib.request.Request(f"{url}/hook/{name}", body, {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["answer"]
'''
