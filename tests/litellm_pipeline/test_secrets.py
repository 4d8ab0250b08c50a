"""The keys of a real LiteLLM run are in its recording, and in nothing that is shown, copied, or recorded with --redact.

Strategy: LiteLLM sends the caller's key and the provider's with START (compressed) and with the pre-call hook (HTTP). Every output of every command,
every copy and every file of a relay that redacts is searched for both, in every form that a reader could turn back into them; messages are inflated
again, frames joined and unmasked.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import pytest_asyncio

import wsproxy
from wsproxy.demo.process import Part, running

from ..secrets.forms import leaks, leaks_in_file
from .bed import Bed, wsproxy_command
from .questions import BLOCK_DELIVERED, BLOCK_LOST, BLOCKED, PASSED

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHOW = [[], ["--full"], ["--hex"], ["--json"], ["--only", "c2s", "--full"]]
COMMANDS = [
    *(["show", *view, *how] for view in ([], ["--frames"]) for how in SHOW),
    ["trace"],
    ["trace", "--json"],
    ["trace", "--chunk", "1"],
    ["trace", "--chunk", "1", "--json"],
    ["diagnose"],
    ["diagnose", "--json"],
    ["verify"],
    ["verify", "--json"],
]


class RedactingBed(Bed):
    """A bed whose relay keeps secrets off the disk."""

    def _relay(self) -> AbstractAsyncContextManager[Part]:
        upstream = f"ws://127.0.0.1:{self.control_plane_port}"
        arguments = ["wsproxy", "record", "--redact", "--live", "--upstream", upstream, "--out", str(self.out)]
        arguments += ["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]
        return running("relay", arguments, log=self.folder / "relay.log", ready_fd=True)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def redacting_bed(litellm_is_installed: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bed]:
    async with RedactingBed(tmp_path_factory.mktemp("redacting"), relay=True) as bed:
        yield bed


def keys(bed: Bed) -> list[str]:
    return [bed.client_key, bed.provider_key]


async def recorded(bed: Bed) -> list[Path]:
    """Recordings of three kinds of streams, and of a call in one piece."""
    answers = await asyncio.gather(*map(bed.ask, (PASSED, BLOCK_DELIVERED, BLOCK_LOST)), bed.ask(PASSED, stream=False))
    return [(await bed.recording(answer.stream_id)).path for answer in answers]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
async def test_no_command_prints_a_key(relayed_bed: Bed, command: list[str]) -> None:
    stream = (await relayed_bed.recording((await relayed_bed.ask(PASSED)).stream_id)).path
    status, printed = await wsproxy_command(command[0], str(stream), *command[1:])
    assert status in (0, 1), printed
    assert len(printed) > 60
    assert leaks(printed.encode(), keys(relayed_bed)) == []


async def test_lists_and_many_diagnoses_print_no_key_either(relayed_bed: Bed) -> None:
    paths = await recorded(relayed_bed)
    for command in (
        ["ls", str(relayed_bed.out)],
        ["ls", str(relayed_bed.out), "--json"],
        ["diagnose", *map(str, paths)],
    ):
        _, printed = await wsproxy_command(*command)
        assert leaks(printed.encode(), keys(relayed_bed)) == []
    assert leaks((relayed_bed.folder / "relay.log").read_bytes(), keys(relayed_bed)) == []


async def test_the_keys_are_there_and_shown_to_who_asks(relayed_bed: Bed) -> None:
    path = (await relayed_bed.recording((await relayed_bed.ask(PASSED)).stream_id)).path
    for key in keys(relayed_bed):
        assert f"plain of {key[:4]}…" in leaks_in_file(path, [key])
    _, printed = await wsproxy_command("show", str(path), "--full", "--show-secrets")
    assert all(key in printed for key in keys(relayed_bed))


async def test_no_key_is_in_a_copy_and_verify_and_diagnose_take_it_as_the_original(
    relayed_bed: Bed, tmp_path: Path
) -> None:
    paths = await recorded(relayed_bed)
    status, printed = await wsproxy_command("redact", *map(str, paths), "-o", str(tmp_path / "shared"))
    assert status == 0, printed
    for path in paths:
        copy = tmp_path / "shared" / path.name
        assert leaks_in_file(copy, keys(relayed_bed)) == []
        status, printed = await wsproxy_command("verify", str(copy))
        assert status == 0 and "whole, redacted" in printed
        answers = [(await wsproxy_command("diagnose", str(rec)))[1].splitlines()[0] for rec in (path, copy)]
        first, second = (re.sub(r" \(event \d+\)", "", answer) for answer in answers)  # a copy counts its own
        assert first == second
        _, printed = await wsproxy_command("show", str(copy), "--full", "--show-secrets")
        assert leaks(printed.encode(), keys(relayed_bed)) == []
    starts = [
        message.json for message in wsproxy.open(tmp_path / "shared" / paths[0].name).messages() if message.opcode == 1
    ]
    # LiteLLM 1.77 sends the deployment as an object, 1.106 as a printed one.
    assert re.search(r"api_key\W{1,5}sk-p…masked", json.dumps(starts[0]["data"]["deployment"], ensure_ascii=False))


async def test_a_relay_that_redacts_writes_and_prints_no_key(redacting_bed: Bed) -> None:
    paths = await recorded(redacting_bed)
    for path in redacting_bed.out.iterdir():
        assert leaks_in_file(path, keys(redacting_bed)) == []
        assert path.stat().st_mode & 0o777 == 0o600
    for path in paths:
        status, printed = await wsproxy_command("verify", str(path))
        assert status == 0 and "whole, redacted" in printed
    blocked = wsproxy.open(paths[1])
    assert any(BLOCKED in message.text for message in blocked.messages())
    _, printed = await wsproxy_command("diagnose", str(paths[2]))
    assert printed.startswith("LOST: the client stopped listening")
    log = (redacting_bed.folder / "relay.log").read_bytes()
    assert b"START" in log
    assert leaks(log, keys(redacting_bed)) == []


async def test_what_passes_a_relay_that_redacts_is_what_was_sent(redacting_bed: Bed) -> None:
    answer = await redacting_bed.ask(PASSED)
    await redacting_bed.control_plane.lines_until(answer.stream_id, "finished")
    sent = redacting_bed.callback.texts(answer.stream_id, "sent")
    assert redacting_bed.control_plane.texts(answer.stream_id, "received") == sent
    assert all(key in sent[0] for key in keys(redacting_bed))
    recording = await redacting_bed.recording(answer.stream_id)
    kept = [message.text for message in recording.messages() if message.dir == "c2s" and message.opcode == 1]
    assert kept[1:] == sent[1:]
