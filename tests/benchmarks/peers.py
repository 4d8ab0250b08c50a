"""What wsproxy is compared with: how each peer is installed, configured, started, known to be ready, and stopped.

Strategy: a table. A peer is a function from a `Site` (where the echo server is, where to listen, a folder of its own) to a
command line. Ours announce their port on a file descriptor; the others get a free port and are ready when it accepts.
Everything listens on 127.0.0.1, lives in a temporary folder and ends with the run.
"""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from json import loads
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
READY_SECONDS = 30
STOP_SECONDS = 60  # mitmdump with 2,000 flows takes 20

HAPROXY = """\
global
    nbthread 1
    maxconn 4000
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
frontend relay
    bind 127.0.0.1:{port}
    default_backend echo
backend echo
    server echo 127.0.0.1:{upstream}
"""

NGINX = """\
{user}worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
        }}
    }}
}}
"""


class NotReady(Exception):
    """A process ended, or did not listen in time; the text holds the last of what it printed."""


@dataclass(frozen=True)
class Site:
    """Where one peer runs: the echo server's port, the port or the descriptor it may use, its folder."""

    upstream: int
    port: int
    ready_fd: int
    folder: Path

    @property
    def recordings(self) -> Path:
        return self.folder / "recordings"


@dataclass(frozen=True)
class Peer:
    """`share` is the part of a workload's frames that a slow peer is given. `announces`: ready line, not a given port."""

    name: str
    meaning: str
    install: str
    installed: Callable[[], bool]
    command: Callable[[Site], list[str]]
    announces: bool = True
    share: float = 1.0
    verified: bool = False  # its recordings are wsproxy's: verify and count them
    asked: bool = False  # takes part only when it is named


@dataclass
class Running:
    """A started process. `trouble` is filled when it is stopped; `control_port` is where wsproxy takes markers."""

    pid: int
    port: int
    site: Site
    control_port: int = 0
    trouble: list[str] = field(default_factory=list)


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"{__package__}.{name}", *arguments]


def echo(site: Site) -> list[str]:
    return _module("echo_server", "--ready-fd", str(site.ready_fd))


def haproxy(site: Site) -> list[str]:
    config = site.folder / "haproxy.cfg"
    config.write_text(HAPROXY.format(port=site.port, upstream=site.upstream))
    return [_program("haproxy"), "-db", "-f", str(config)]


def nginx(site: Site) -> list[str]:
    config = site.folder / "nginx.conf"
    user = "user root;\n" if os.geteuid() == 0 else ""
    config.write_text(NGINX.format(port=site.port, upstream=site.upstream, folder=site.folder, user=user))
    return [_program("nginx"), "-p", str(site.folder), "-e", str(site.folder / "nginx.log"), "-c", str(config)]


def splice(*variant: str) -> Callable[[Site], list[str]]:
    return lambda site: _module("splice", str(site.upstream), str(site.ready_fd), *variant)


def websockets_relay(site: Site) -> list[str]:
    return _module("websockets_relay", str(site.upstream), str(site.recordings), str(site.ready_fd))


def mitmdump(site: Site) -> list[str]:
    return [
        _program("mitmdump"), "-q", "-w", str(site.recordings / "flows"),
        "--mode", f"reverse:http://127.0.0.1:{site.upstream}",
        "--listen-host", "127.0.0.1", "--listen-port", str(site.port),
        "--set", f"confdir={site.folder}",
    ]  # fmt: skip


def wsproxy(*options: str) -> Callable[[Site], list[str]]:
    def command(site: Site) -> list[str]:
        return [
            sys.executable, "-m", "wsproxy", "record", "--quiet",
            "--upstream", f"ws://127.0.0.1:{site.upstream}", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0",
            "--out", str(site.recordings), "--ready-fd", str(site.ready_fd), *options,
        ]  # fmt: skip

    return command


def _program(name: str) -> str:
    """The path of a program: from WSPROXY_BENCH_<NAME>, else from PATH, else where system programs are."""
    path = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin"
    return os.environ.get(f"WSPROXY_BENCH_{name.upper()}") or shutil.which(name, path=path) or ""


def _has_program(name: str) -> Callable[[], bool]:
    return lambda: os.access(_program(name), os.X_OK)


def _has_modules(*names: str) -> Callable[[], bool]:
    return lambda: all(find_spec(name) for name in names)


PEERS = {
    peer.name: peer
    for peer in (
        Peer("none", "no proxy: the floor", "", lambda: True, lambda site: []),
        Peer("haproxy", "HAProxy, TCP mode (C; records nothing)", "apt-get install haproxy",
             _has_program("haproxy"), haproxy, announces=False),
        Peer("nginx", "nginx as WebSocket proxy (C; records nothing)", "apt-get install nginx",
             _has_program("nginx"), nginx, announces=False),
        Peer("splice", "asyncio byte splice under uvloop, records nothing", "pip install uvloop",
             _has_modules("uvloop"), splice()),
        *(Peer("-".join(("splice", *variant)), f"the same, {' and '.join(variant)}", "pip install uvloop",
               _has_modules("uvloop"), splice(*variant), asked=True)
          for variant in (("buffered",), ("asyncio",), ("asyncio", "buffered"))),
        Peer("websockets", "relay with the websockets library, records messages", "pip install websockets msgpack",
             _has_modules("websockets", "msgpack"), websockets_relay),
        Peer("mitmdump", "mitmdump -w in reverse mode",
             "pip install mitmproxy in an environment of its own, set WSPROXY_BENCH_MITMDUMP to its mitmdump",
             _has_program("mitmdump"), mitmdump, announces=False, share=0.1),
        Peer("wsproxy", "wsproxy record, default durability", "pip install -e . in the repository",
             _has_modules("wsproxy"), wsproxy(), verified=True),
        Peer("wsproxy-python", "the same without the hot path in C", "pip install -e . in the repository",
             _has_modules("wsproxy"), lambda site: ["env", "WSPROXY_PUREPYTHON=1", *wsproxy()(site)], verified=True),
        Peer("wsproxy-batch", "wsproxy record --durability batch", "pip install -e . in the repository",
             _has_modules("wsproxy"), wsproxy("--durability", "batch"), verified=True),
        Peer("wsproxy-sync", "wsproxy record --durability sync", "pip install -e . in the repository",
             _has_modules("wsproxy"), wsproxy("--durability", "sync"), share=0.1, verified=True),
    )
}  # fmt: skip

ECHO = Peer("echo", "the echo server", "pip install picows uvloop", _has_modules("picows", "uvloop"), echo)


@contextmanager
def started(peer: Peer, upstream: int, folder: Path) -> Iterator[Running]:
    """Start a peer in `folder`, wait until it is ready, stop it afterwards. Raises NotReady."""
    (folder / "recordings").mkdir(parents=True, mode=0o700)
    read_fd, write_fd = os.pipe()
    site = Site(upstream, 0 if peer.announces else _free_port(), write_fd, folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WSPROXY_")}
    with (folder / "output.txt").open("wb") as output, os.fdopen(read_fd, "rb") as ready:
        try:
            process = subprocess.Popen(
                peer.command(site), cwd=ROOT, env=environment, pass_fds=[write_fd],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        finally:
            os.close(write_fd)
        running = Running(process.pid, site.port, site)
        try:
            _await_ready(running, process, ready if peer.announces else None)
            yield running
        finally:
            _stop(process, running)


def _await_ready(running: Running, process: subprocess.Popen[bytes], ready: IO[bytes] | None) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if ready is not None:
            if select.select([ready], [], [], 0.2)[0]:
                line = ready.readline()
                if not line:
                    break
                ports = loads(line)
                running.port, running.control_port = int(ports["port"]), int(ports.get("control_port", 0))
                return
        elif _accepts(running.port):
            return
        if process.poll() is not None:
            break
    try:  # one that closed its descriptor is about to end
        state = f"ended with status {process.wait(1)}"
    except subprocess.TimeoutExpired:
        state = "still runs"
    raise NotReady(f"did not become ready ({state}): {last_output(running.site.folder)}")


def _stop(process: subprocess.Popen[bytes], running: Running) -> None:
    if process.poll() is not None:
        last = last_output(running.site.folder)
        running.trouble.append(f"ended by itself with status {process.returncode}: {last}")
        return
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        running.trouble.append(f"did not stop within {STOP_SECONDS} s of SIGTERM")
        process.kill()
        process.wait()


def last_output(folder: Path, lines: int = 3) -> str:
    text = (folder / "output.txt").read_text(errors="replace").strip()
    return " | ".join(text.splitlines()[-lines:]) or "it printed nothing"


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        time.sleep(0.02)
        return False
    return True


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
