"""What the peer programs in Python have in common; conversation.js is the same for JavaScript.

A client program reads jobs from standard input, a JSON object a line, and answers each with a report. A server program prints its port, then a
line for each close frame that it gets, until its standard input ends. The conversation is the same for every library: whatever the client
says comes back; "@report" asks what the server has got; "@ping" asks for a ping, "@close CODE REASON" for a close.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import sys
from collections.abc import Callable
from typing import Any, Protocol

SUBPROTOCOLS = ("chat.v2", "chat.v1")  # what a server knows, in the order of its liking
COOKIE = "served=yes; Path=/"
CHALLENGE = 'Basic realm="peers"'
REFUSAL = b"who are you?"
PING = b"are you there?"

Data = str | bytes
Entry = list[Any]  # [type, bytes, sha256]


class Refused(Exception):
    """The server answered the handshake with another status than 101."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Client(Protocol):
    """What a library's client must do for `converse`; `facts` go into the report."""

    facts: dict[str, Any]

    async def say(self, parts: list[Data]) -> None:
        """Send one message, in as many frames as there are parts where the library can."""

    async def hear(self) -> Data:
        """The next message."""

    async def ping(self, payload: bytes) -> None: ...

    async def close(self, code: int | None, reason: str) -> None:
        """Send a close frame; None is one without a code."""

    async def closed(self) -> tuple[int, str]:
        """Code and reason of the server's close frame, when the connection is over."""


def entry(data: Data) -> Entry:
    """A message as a line of a transcript."""
    raw = data.encode() if isinstance(data, str) else bytes(data)
    return ["text" if isinstance(data, str) else "binary", len(raw), hashlib.sha256(raw).hexdigest()]


def asked_protocols(field: str | None) -> list[str]:
    return [name.strip() for name in (field or "").split(",") if name.strip()]


def chosen(asked: list[str]) -> str | None:
    """The subprotocol that a server takes."""
    return next((name for name in SUBPROTOCOLS if name in asked), None)


def thirds(text: str) -> list[str]:
    """A text in three parts."""
    at = len(text) // 3
    return [text[:at], text[at : 2 * at], text[2 * at :]]


async def converse(client: Client, job: dict[str, Any], script: list[dict[str, Any]]) -> dict[str, Any]:
    """Say everything, hear the answers, end it as the job wants it."""
    got: list[Entry] = []
    for item in script:
        if item["type"] == "ping":
            await client.ping(base64.b64decode(item["data"]))
            continue
        parts: list[Data] = item["parts"] if item["type"] == "text" else [base64.b64decode(p) for p in item["parts"]]
        await client.say(parts)
        got.append(entry(await client.hear()))
    await client.say(["@ping"])
    await client.say(["@report"])
    server = json.loads(await client.hear())
    code, reason = job["close"]
    if job["closes"] == "client":
        await client.close(code, reason)
    else:
        await client.say([f"@close {code} {reason}"])
    return {"got": got, "server": server, "close": await client.closed(), **client.facts}


async def answer_jobs(connect: Callable[[dict[str, Any]], Any]) -> None:
    """The life of a client program.

    Args:
        connect: opens the connection that a job asks for. Raises Refused.
    """
    with open(sys.argv[1], encoding="utf-8") as file:
        scripts = json.load(file)
    while line := await asyncio.to_thread(sys.stdin.readline):
        job = json.loads(line)
        try:
            async with asyncio.timeout(job["deadline"]):
                report = await converse(await connect(job), job, scripts[job["script"]])
        except Refused as refused:
            report = {"refused": refused.status}
        except Exception as error:
            report = {"error": f"{type(error).__name__}: {error}"}
        tell(report)


class Heard:
    """One connection of a server: what it has got, and what is to be done next."""

    def __init__(self, target: str, **facts: Any) -> None:
        self.target = target
        self._facts = facts
        self._got: list[Entry] = []

    def answer(self, data: Data) -> tuple[str, Any]:
        """("say", data), ("say in parts", [text, …]), ("ping", payload) or ("close", (code, reason))."""
        if isinstance(data, str) and data.startswith("@"):
            order, _, rest = data.partition(" ")
            if order == "@report":
                return "say", json.dumps({"got": self._got, **self._facts})
            if order == "@ping":
                return "ping", PING
            code, _, reason = rest.partition(" ")
            return "close", (int(code), reason)
        self._got.append(entry(data))
        if isinstance(data, str) and data.startswith("#"):
            return "say in parts", thirds(data)
        return "say", data

    def closed(self, code: int | None, reason: str | None) -> None:
        """The client's close frame came."""
        tell({"target": self.target, "close": [code, reason]})


def tell(what: object) -> None:
    print(json.dumps(what), flush=True)


async def until_told_to_stop(port: int) -> None:
    """The life of a server program: say the port, live as long as standard input is open."""
    tell({"port": port})
    await asyncio.to_thread(sys.stdin.read)
