"""`python -m tests.benchmarks.choices`: what the hot path does, beside each other way in which it could be done.

Strategy: groups of ways that do the same work (results are compared where there are any), timed in turn for several rounds. Shown are the best of
each way in nanoseconds of CPU, and the median of the rounds' ratios to the first way, which is the one that is built in. What a choice changes for
a whole relay is measured by the workloads; here stand those that are too small to be seen there.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import click
import xxhash
from websockets.frames import Frame as LibraryFrame
from websockets.frames import Opcode

from wsproxy.recording.format import pack_event
from wsproxy.recording.whole_frames import WholeFramePacker
from wsproxy.relay.allocator import keep_large_blocks
from wsproxy.wire.events import C2S, WireEvent
from wsproxy.wire.frames import FrameStream
from wsproxy.wire.masking import apply_mask

_TEXT = b'{"id":"chatcmpl","choices":[{"delta":{"content":"word"}}]}'.ljust(300)
_LARGE = bytes(range(256)) * 1024
_MAPPED = 1 << 20
_MASK = b"\x13\x37\xbe\xef"


class Way(NamedTuple):
    name: str
    call: Callable[[], object]
    result: Callable[[], bytes] | None = None  # what it made, where that can be compared


class Group(NamedTuple):
    question: str
    times: int
    ways: list[Way]


@contextmanager
def groups() -> Iterator[Iterator[Group]]:
    """All groups, with their files and sockets, which live as long as the context."""
    ours, theirs = socket.socketpair()
    with (
        tempfile.TemporaryFile(buffering=0) as file,
        tempfile.TemporaryFile() as buffered,
        _Mapped() as mapped,
        ours,
        theirs,
    ):
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)

        def made() -> Iterator[Group]:
            yield reading(
                ours, theirs, "as the C library has it"
            )  # first: it learns from the blocks that it is given back
            keep_large_blocks()
            yield reading(ours, theirs, "told to keep large blocks, as the relay does")
            yield packing()
            yield unmasking()
            yield digesting(_TEXT, 5_000)
            yield digesting(_LARGE, 100)
            yield from writing(file.fileno(), buffered.write, buffered.flush, mapped)

        yield made()


def digesting(data: bytes, times: int) -> Group:
    digests = {
        "xxh64": xxhash.xxh64(),
        "xxh3_128": xxhash.xxh3_128(),
        "sha256": hashlib.sha256(),
        "blake2b": hashlib.blake2b(),
    }
    return Group(
        f"the digest of {len(data):,} bytes",
        times,
        [Way(name, partial(digest.update, data)) for name, digest in digests.items()],
    )


def packing() -> Group:
    data = LibraryFrame(Opcode.TEXT, _TEXT).serialize(mask=True)
    whole = WholeFramePacker(1, C2S, 0)

    def in_one_go() -> bytes:
        out: list[bytes] = []
        whole.pack_whole(data, 7, out)
        return b"".join(out)

    def events() -> list[WireEvent]:
        return FrameStream(1, C2S).feed(data, 7)

    def in_two_steps() -> bytes:
        out: list[bytes] = []
        whole.pack(events(), out)
        return b"".join(out)

    def as_a_map() -> bytes:
        return b"".join(pack_event(event, 0) for event in events())

    def alone() -> bytes:
        return whole.pack_one(data, 7) or b""

    ways = {
        "a read that is one frame": alone,
        "cut out of a read": in_one_go,
        "an event, then prepared": in_two_steps,
        "an event, then msgpack": as_a_map,
    }
    return Group("a masked frame of 300 bytes to msgpack", 20_000, [Way(name, way, way) for name, way in ways.items()])


def unmasking() -> Group:
    masked = apply_mask(_TEXT, _MASK)

    def python() -> bytes:
        repeated = _MASK * (len(masked) // 4 + 1)
        mixed = int.from_bytes(masked, "big") ^ int.from_bytes(repeated[: len(masked)], "big")
        return mixed.to_bytes(len(masked), "big")

    def now() -> bytes:
        return apply_mask(masked, _MASK)

    def later() -> bytes:
        return bytes(masked)

    return Group(
        "300 bytes unmasked before they are recorded",
        50_000,
        [Way("at once, in C", now, now), Way("at once, in Python", python, python), Way("left to the reader", later)],
    )


def writing(fd: int, write: Callable[[bytes], int], flush: Callable[[], None], mapped: _Mapped) -> Iterator[Group]:
    head, payload = bytes(90), _TEXT

    def behind() -> None:
        write(head)
        write(payload)
        flush()

    yield Group(
        "one frame of 300 bytes to its file",
        10_000,
        [
            Way("joined, os.write", lambda: os.write(fd, b"".join((head, payload)))),
            Way("os.writev", lambda: os.writev(fd, (head, payload))),
            Way("two of os.write", lambda: (os.write(fd, head), os.write(fd, payload))),
            Way("a file object, flushed", behind),
            Way("os.pwritev2 (RWF_APPEND)", lambda: os.pwritev(fd, (head, payload), 0, os.RWF_APPEND)),
            Way("joined, into a mapped file", lambda: mapped.append(b"".join((head, payload)))),
        ],
    )
    parts = [_LARGE[at : at + 65_536] for at in range(0, len(_LARGE), 65_536)]

    def in_parts() -> None:
        os.ftruncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        for part in parts:
            os.writev(fd, (head, part))

    def joined() -> None:
        os.ftruncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        os.writev(fd, (head, b"".join(parts)))

    yield Group(
        "a frame of 256 KiB that came in four reads", 400, [Way("in parts", in_parts), Way("assembled", joined)]
    )


class _Mapped:
    """A file that grows by a mebibyte and is written as memory: no call of the system, a page fault for each 4 KiB."""

    def __enter__(self) -> _Mapped:
        self._file = tempfile.TemporaryFile(buffering=0)  # closed with this
        self._end = 0
        self._grow()
        return self

    def __exit__(self, *_: object) -> None:
        self._map.close()
        self._file.close()

    def append(self, data: bytes) -> None:
        if self._at + len(data) > _MAPPED:
            self._map.close()
            self._grow()
        self._map[self._at : self._at + len(data)] = data
        self._at += len(data)

    def _grow(self) -> None:
        self._file.truncate(self._end + _MAPPED)
        self._map = mmap.mmap(self._file.fileno(), _MAPPED, offset=self._end)
        self._at, self._end = 0, self._end + _MAPPED


def reading(ours: socket.socket, theirs: socket.socket, allocator: str) -> Group:
    room = bytearray(65_536)
    view = memoryview(room)

    def into() -> bytes:
        ours.send(_TEXT)
        return bytes(view[: theirs.recv_into(room)])

    def received(size: int) -> Callable[[], bytes]:
        def way() -> bytes:
            ours.send(_TEXT)
            return theirs.recv(size)

        return way

    ways = {f"recv({size >> 10} KiB)": received(size) for size in (256 << 10, 64 << 10, 4 << 10)}
    ways["recv_into, and a copy"] = into
    return Group(
        f"a frame of 300 bytes through a socket; allocator {allocator}",
        5_000,
        [Way(name, way, way) for name, way in ways.items()],
    )


def timed(way: Way, times: int) -> float:
    """Nanoseconds of CPU per call."""
    call = way.call
    start = time.process_time_ns()
    for _ in range(times):
        call()
    return (time.process_time_ns() - start) / times


@click.command(help=__doc__)
@click.option("--rounds", default=7, show_default=True)
@click.option("--smoke", is_flag=True, help="Every way of a group makes the same; no times.")
def main(rounds: int, smoke: bool) -> None:
    with groups() as all_groups:
        for group in all_groups:
            made = {way.name: way.result() for way in group.ways if way.result is not None}
            if len(set(made.values())) > 1:
                raise click.ClickException(f"{group.question}: the ways do not make the same: {made}")
            if smoke:
                continue
            taken = [[timed(way, group.times) for way in group.ways] for _ in range(rounds)]
            click.echo(group.question)
            for column, way in enumerate(group.ways):
                ratio = statistics.median(row[column] / row[0] for row in taken)
                click.echo(f"  {way.name:<28} {min(row[column] for row in taken):10,.0f} ns {ratio:8.2f} ×")


if __name__ == "__main__":
    main()
