"""Two hosts on one machine: network namespaces with a cable between them, the far one with another clock and another kernel's id.

Strategy: `near` holds the relay, the server behind it and a slow line to the relay's control port; `far` holds a client that marks, in a time
namespace whose monotonic clock stands SKEW_SECONDS ahead, so that the truth is known: it is the same clock, less the skew. The line is slower
one way than the other (that is what makes an estimate from round trips wrong) and is a process of its own, because not every kernel has netem.
Namespaces carry our process id, and go when the block ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .raw import DEADLINE

ROOT = Path(__file__).parents[2]
SKEW_SECONDS = 5_000
UP_SECONDS, DOWN_SECONDS = 0.005, 0.025  # of the line, to the relay and back
QUESTIONS = 20
PAUSE_SECONDS = 0.01
STREAM = "far-away"
_BIND = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'


class NotHere(Exception):
    """This machine does not give us such hosts; the text says why."""


@dataclass(frozen=True)
class Hosts:
    """`near` and `far` run commands on a host; `address` is the near one's."""

    near: tuple[str, ...]
    far: tuple[str, ...]
    address: str


@contextmanager
def two_hosts(boot_id: Path | None) -> Iterator[Hosts]:
    """Set them up, and take them down whatever happens.

    Args:
        boot_id: a file that the far host shows as its kernel's boot id; None leaves it ours, as in a container with a clock of its own.

    Raises:
        NotHere: no program for it, or no permission.
    """
    if os.geteuid() != 0:
        raise NotHere("network namespaces need root")
    for program in ("ip", "unshare", "mount"):
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            raise NotHere(f"there is no program {program}")
    near, far = (f"wsproxy-{os.getpid()}-{side}" for side in ("near", "far"))
    octets = f"10.{os.getpid() >> 8 & 0xFF}.{os.getpid() & 0xFF}"
    made: list[str] = []
    try:
        for name in (near, far):
            _ip("netns", "add", name)
            made.append(name)
        _ip("link", "add", "cable", "netns", near, "type", "veth", "peer", "name", "cable", "netns", far)
        for name, host in ((near, 1), (far, 2)):
            _ip("-n", name, "addr", "add", f"{octets}.{host}/24", "dev", "cable")
            for link in ("lo", "cable"):
                _ip("-n", name, "link", "set", link, "up")
        skewed = ["unshare", "--time", "--mount", "--fork", "--kill-child"]
        skewed += ["--monotonic", str(SKEW_SECONDS), "--boottime", str(SKEW_SECONDS)]
        other = ["sh", "-c", _BIND, str(boot_id)] if boot_id else []
        hosts = Hosts(("ip", "netns", "exec", near), ("ip", "netns", "exec", far, *skewed, *other), f"{octets}.1")
        _run([*hosts.far, "true"])
        yield hosts
    finally:
        for name in made:  # the cable goes with them
            _ip("netns", "del", name)


def _ip(*arguments: str) -> None:
    _run(["ip", *arguments])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    if done.returncode:
        raise NotHere(f"{' '.join(command[:4])} …: {done.stderr.strip()}")


def role(name: str, *arguments: str) -> list[str]:
    """The command of one of the programs below."""
    return [sys.executable, "-m", __name__, name, *arguments]


# --- the programs on the hosts -----------------------------------------------------------------------------------------


async def _server() -> None:
    """Asks its client some questions, each after the answer to the one before; prints its port."""
    from websockets.asyncio.server import ServerConnection, serve

    async def ask(client: ServerConnection) -> None:
        for number in range(QUESTIONS):
            await client.send(str(number))
            await client.recv()
            await asyncio.sleep(PAUSE_SECONDS)

    async with serve(ask, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


async def _line(address: str, port: int, heard: Path) -> None:
    """Forwards connections to a port, each byte later than it came; keeps what goes up in a file. Prints its own port."""
    with heard.open("wb", buffering=0) as kept:

        async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, out = await asyncio.open_connection(address, port)
            await asyncio.gather(forward(reader, out, UP_SECONDS, keep=True), forward(there, writer, DOWN_SECONDS))

        async def forward(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float, *, keep: bool = False
        ) -> None:
            later = asyncio.get_running_loop().call_later
            while data := await reader.read(1 << 16):
                if keep:
                    kept.write(data)
                later(delay, writer.write, data)
            later(delay, writer.close)

        server = await asyncio.start_server(connect, address, 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


def _client(url: str) -> None:
    """Answers questions, with a mark between question and answer; prints for each its clock before and after."""
    from websockets.sync.client import connect

    from wsproxy.hooks import mark, marks

    with connect(url) as server:
        for question in server:
            before = time.monotonic_ns()
            mark(STREAM, "test.between", int(question), {"clock": before})
            print(json.dumps([int(question), before, time.monotonic_ns()]), flush=True)
            server.send(question)
    assert marks._sender is not None
    marks._sender.close(DEADLINE)


def main(name: str, *arguments: str) -> None:
    if name == "server":
        asyncio.run(_server())
    elif name == "line":
        address, port, heard = arguments
        asyncio.run(_line(address, int(port), Path(heard)))
    elif name == "client":
        _client(*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
