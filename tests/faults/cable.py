"""Two hosts on one machine with a cable between them that can be slow, lossy, or cut without a word.

Strategy: two network namespaces, a TUN device in each, and a thread that carries packets from one to the other: late, not at all, or until the cable
is cut. So TCP on both ends is the kernel's own, with its retransmissions and timeouts, and no kernel module for emulated networks is
needed. A socket belongs to the namespace in which it was made, so the test itself holds peers on both hosts.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import os
import random
import select
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import TypeVar

from tests.relay.raw import DEADLINE, Peer, RawServer

TUN = "/dev/net/tun"
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
PACKET = 65536

_numbers = count()  # of the cables of this process

Made = TypeVar("Made")


class NotHere(Exception):
    """This machine does not give us such hosts; the text says why."""


class Host:
    """One end of the cable.

    Attributes:
        within: words before a command that is to run there.
    """

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self.within = ("ip", "netns", "exec", name)

    def make(self, make: Callable[[], Made]) -> Made:
        """Call `make` on this host: sockets that it makes belong there."""
        made: list[Made] = []
        wrong: list[BaseException] = []

        def inside() -> None:
            try:
                with open(f"/run/netns/{self.name}") as namespace:
                    if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                made.append(make())
            except BaseException as error:
                wrong.append(error)

        thread = threading.Thread(target=inside)  # which ends with the namespace that it entered
        thread.start()
        thread.join(DEADLINE)
        if wrong:
            raise wrong[0]
        return made[0]

    def server(self) -> RawServer:
        """A server that listens on all addresses of this host."""
        return self.make(lambda: RawServer(host="0.0.0.0"))

    def dial(self, host: Host, port: int) -> Peer:
        return self.make(lambda: Peer(socket.create_connection((host.address, port), DEADLINE)))

    def set(self, setting: str, value: int) -> None:
        """A sysctl of this host's network."""
        path = f"/proc/sys/net/ipv4/{setting}"
        subprocess.run([*self.within, "sh", "-c", f"echo {value} > {path}"], check=True)


class Cable:
    """What lies between `near` and `far`.

    Attributes:
        delay: seconds that a packet takes, each way.
        loss: share of the packets that get lost.
        lost: how many were.
    """

    def __init__(self, near: Host, far: Host) -> None:
        self.near = near
        self.far = far
        self.delay = 0.0
        self.loss = 0.0
        self.lost = 0
        self._cut = False
        self._stop, self._stopped = os.pipe()
        self._ends = [near.make(_tun), far.make(_tun)]
        self._thread = threading.Thread(target=self._carry, daemon=True)

    def plug_in(self) -> None:
        """Carry packets, now that both devices are up."""
        self._thread.start()

    def cut(self) -> None:
        """From here on no packet arrives, and nobody is told."""
        self._cut = True

    def close(self) -> None:
        os.close(self._stopped)
        if self._thread.ident is not None:
            self._thread.join(DEADLINE)
        for end in (*self._ends, self._stop):
            os.close(end)

    def _carry(self) -> None:
        rng = random.Random(1)
        under_way: list[tuple[float, int, int, bytes]] = []  # when it arrives, its number, where, the packet
        number = 0
        while True:
            wait = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
            ready, _, _ = select.select([*self._ends, self._stop], [], [], wait)
            if self._stop in ready:
                return
            now = time.monotonic()
            for end in ready:
                packet = os.read(end, PACKET)
                if self._cut or rng.random() < self.loss:
                    self.lost += 1
                    continue
                number += 1
                other = self._ends[1 - self._ends.index(end)]
                heapq.heappush(under_way, (now + self.delay, number, other, packet))
            while under_way and under_way[0][0] <= now:
                _, _, end, packet = heapq.heappop(under_way)
                if not self._cut:
                    os.write(end, packet)


def _tun() -> int:
    """A descriptor whose other side is a network device `cable` here."""
    tun = os.open(TUN, os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"cable", IFF_TUN | IFF_NO_PI))
    return tun


@contextmanager
def cable() -> Iterator[Cable]:
    """Set both hosts up, and take them down whatever happens. Raises NotHere: no permission, no program, no device."""
    if os.geteuid() != 0:
        raise NotHere("network namespaces need root")
    if shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
        raise NotHere("there is no program ip")
    if not Path(TUN).exists():
        raise NotHere(f"there is no {TUN}")
    name = f"wsproxy-{os.getpid()}-{next(_numbers)}"
    hosts = [Host(f"{name}{side}", f"10.77.0.{n}") for n, side in enumerate(("a", "b"), 1)]
    with ExitStack() as stack:
        for host in hosts:
            _ip("netns", "add", host.name)
            stack.callback(_ip, "netns", "del", host.name)
        try:
            between = Cable(*hosts)
        except OSError as error:
            raise NotHere(f"no {TUN}: {error}") from None
        stack.callback(between.close)
        for host, other in zip(hosts, hosts[::-1], strict=True):
            _ip("-n", host.name, "addr", "add", host.address, "peer", other.address, "dev", "cable")
            for link in ("lo", "cable"):
                _ip("-n", host.name, "link", "set", link, "up")
        between.plug_in()
        yield between


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=DEADLINE)
    if done.returncode:
        raise NotHere(f"ip {' '.join(arguments[:4])} …: {done.stderr.strip()}")
