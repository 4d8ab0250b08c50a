"""The hot path in C does what the Python does that it stands for, whatever comes, and is there where it can be."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import hashlib
import os
import platform
import shutil
import signal
import socket
import struct
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wsproxy
from tests.strict import LENIENT
from tests.wire.strategies import cuts, frame_bytes, mutated
from wsproxy.analysis.exactness import check
from wsproxy.recording.whole_frames import WholeFramePacker
from wsproxy.relay import quick
from wsproxy.relay.ends import READ_SIZE, End
from wsproxy.relay.lane import Track
from wsproxy.relay.poller import Poller
from wsproxy.relay.recorder import ConnectionRecorder
from wsproxy.relay.rules import StreamRule
from wsproxy.relay.splice import Splice
from wsproxy.relay.streams import Streams
from wsproxy.wire.events import Dir, Frame, Opaque
from wsproxy.wire.frames import FrameStream

from .raw import DEADLINE, frame
from .relay_process import RelayProcess
from .test_recorder import SWITCH, UPGRADE

PING = 9
MASK = b"abcd"
ROOT = Path(wsproxy.__file__).parents[1]
Words = list[tuple[Dir, bytes]]

compiled = pytest.mark.skipif(not quick.NATIVE, reason="there was no C compiler, or WSPROXY_PUREPYTHON is set")


def test_where_there_is_a_compiler_the_hot_path_is_in_c() -> None:
    words = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    if shutil.which(words.split()[0]) is None or not headers.exists():
        pytest.skip("no C compiler, or no headers of Python")
    assert quick.REMARK is None
    assert quick.NATIVE or os.environ.get("WSPROXY_PUREPYTHON")


class Line:
    """A splice in this process, and both of its peers."""

    def __init__(self, folder: str, *, native: bool) -> None:
        self.poller = Poller()
        if native:
            quick.quicken(self.poller)
        self.loop = asyncio.SelectorEventLoop(self.poller)
        self.streams = Streams(folder, upstream="", relay="test", keep_body=10)
        self.faults: list[Exception] = []
        recorder = ConnectionRecorder(
            self.streams, StreamRule(), 1, "client", "upstream", time.monotonic_ns(), on_fault=self.faults.append
        )
        (self.client, ours), (self.server, theirs) = socket.socketpair(), socket.socketpair()
        ends = []
        for sock in (ours, theirs):
            sock.setblocking(False)
            ends.append(End(sock, self.poller))
        self.over = False

        def over(_: Splice) -> None:
            self.over = True

        self.splice = Splice(self.loop, self.poller, *ends, recorder, over)

    def says(self, dir: Dir, data: bytes) -> bytes:
        """One side says this, and what the other one hears of it."""
        speaker, hearer = (self.client, self.server) if dir == "c2s" else (self.server, self.client)
        heard = b""
        while data:
            data = data[speaker.send(data) :]
            self.poller.select(0)
            heard += self.heard(hearer)
        for _ in range(20):
            self.poller.select(0)
            heard += self.heard(hearer)
        return heard

    @staticmethod
    def heard(hearer: socket.socket) -> bytes:
        try:
            return hearer.recv(1 << 20, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Both peers go, and the recording is finished. May be said twice."""
        if self.loop.is_closed():
            return
        for sock in (self.client, self.server):
            sock.shutdown(socket.SHUT_WR)
        for _ in range(20):
            self.poller.select(0)
        assert self.over
        for sock in (self.client, self.server):
            sock.close()
        self.streams.finish(time.monotonic_ns())
        self.loop.close()


def recorded(words: Words, *, native: bool) -> list[Any]:
    """What a recording of this conversation holds, but for times."""
    with tempfile.TemporaryDirectory() as folder:
        line = Line(folder, native=native)
        for dir, data in words:
            assert line.says(dir, data) == data
        line.close()
        assert line.faults == []
        (path,) = Path(folder).iterdir()
        recording = wsproxy.open(path)
        result = check(recording.events())
        assert result.problems == []
        assert recording.ending is not None and recording.ending.state == "finished"
        kept = [event._replace(t=0) for event in recording.events() if hasattr(event, "t")]
        return [event._replace(opened=0) if hasattr(event, "opened") else event for event in kept]


@st.composite
def conversations(draw: st.DrawFn) -> Words:
    """What both sides say after the handshake: frames in pieces, and what is none."""
    words: Words = [("c2s", UPGRADE), ("s2c", SWITCH)]
    for _ in range(draw(st.integers(1, 4))):
        dir: Dir = draw(st.sampled_from(["c2s", "s2c"]))
        data = draw(st.one_of(frame_bytes, frame_bytes, mutated(frame_bytes), st.binary(max_size=50)))
        words += [(dir, part) for part in draw(cuts(data))]
    return words


@compiled
@settings(max_examples=150, deadline=None)
@given(conversations())
def test_c_and_python_record_and_forward_the_same(words: Words) -> None:
    assert recorded(words, native=True) == recorded(words, native=False)


@contextmanager
def line() -> Iterator[tuple[Line, Path]]:
    """A splice after its handshake, served in C, and its recording."""
    with tempfile.TemporaryDirectory() as folder:
        line = Line(folder, native=True)
        line.says("c2s", UPGRADE)
        line.says("s2c", SWITCH)
        (path,) = Path(folder).iterdir()
        yield line, path
        line.close()


@compiled
def test_a_read_of_ordinary_frames_and_parts_of_them_is_served_without_python(monkeypatch: pytest.MonkeyPatch) -> None:
    with line() as (it, path):
        with monkeypatch.context() as without:
            without.setattr("wsproxy.relay.splice.Flow.ready", None)
            without.setattr("wsproxy.relay.splice.Flow.take", None)
            without.setattr("wsproxy.relay.lane.Track.feed", None)
            without.setattr("wsproxy.recording.writer.RecordingWriter.wrote", None)
            for data in (frame(b"hi", mask=MASK), frame(b"x" * 300, mask=MASK) * 5, frame(b"", PING, mask=MASK)):
                assert it.says("c2s", data) == data
            down = frame(b"hi") + frame(b"", PING) + frame(b"y" * 60_000)
            assert it.says("s2c", down) == down
            for dir, data in (
                ("c2s", frame(b"z" * 300_000, mask=MASK)),
                ("s2c", frame(b"z" * 100_000) + frame(b"end")),
            ):
                for part in (data[:20], data[20:99_999], data[99_999:]):
                    assert it.says(dir, part) == part
        it.close()
        assert check(wsproxy.open(path).events()).problems == []
        assert len(list(wsproxy.open(path).frames())) == 13


@compiled
def test_a_fault_in_recording_makes_the_direction_opaque_and_the_bytes_go_on() -> None:
    with line() as (it, path):
        track = it.splice.recorder.c2s
        assert isinstance(track, Track)
        whole = track.digest

        class FailsOnce:
            def update(self, data: bytes) -> None:
                track.digest = whole
                raise ArithmeticError("no more numbers")

        for payload in (b"first", b"second", b"third"):
            data = frame(payload, mask=MASK)
            assert it.says("c2s", data) == data
            if payload == b"first":
                track.digest = FailsOnce()  # type: ignore[assignment]
        assert [str(fault) for fault in it.faults] == ["no more numbers"]
        *_, first, second, third = wsproxy.open(path).events()
        assert isinstance(first, Frame) and isinstance(second, Opaque) and isinstance(third, Opaque)
        assert second.reason == "the recorder failed: ArithmeticError: no more numbers"
        assert third.raw == frame(b"third", mask=MASK)


@compiled
def test_a_receiver_that_takes_a_part_or_nothing_gets_the_rest_later(monkeypatch: pytest.MonkeyPatch) -> None:
    data = frame(b"y" * 2000, mask=MASK) * 30
    with line() as (it, path):
        it.splice.c2s.dst.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        heard = b""
        for _ in range(3):
            with monkeypatch.context() as without:
                without.setattr("wsproxy.relay.splice.Flow.take", None)
                it.client.sendall(data)
                it.poller.select(0)
            assert it.splice.c2s.pending, "the receiver has taken more than it was meant to"
            heard += it.heard(it.server)
            while it.splice.c2s.pending:
                it.poller.select(0)
                heard += it.heard(it.server)
        assert heard == data * 3
        it.close()
        assert check(wsproxy.open(path).events()).problems == []


@compiled
def test_more_long_payloads_in_one_read_than_are_written_from_where_they_are() -> None:
    data = frame(b"p" * 16_384) * 16
    packer, packed = WholeFramePacker(1, "s2c", 0), list[bytes]()
    packer.pack(FrameStream(1, "s2c").feed(data, 5), packed)
    assert quick.native.pack(data, FrameStream(1, "s2c"), packer._start, 5) == (16, b"".join(packed))


def in_a_thread(test: Callable[[], None]) -> Callable[[], None]:
    """A scheduling policy is a thread's: what a test makes of it ends with it."""

    @wraps(test)
    def run() -> None:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(test).result()

    return run


def becomes(policy: int, it: Line, data: bytes, *, within: float = DEADLINE) -> bool:
    """Whether the thread that relays gets this policy while the client says this again and again."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        assert it.says("c2s", data) == data
        if os.sched_getscheduler(0) == policy:
            return True
    return False


ONE, MANY = frame(b"one", mask=MASK), frame(b"y" * 100, mask=MASK) * 500


@compiled
@in_a_thread
def test_while_much_comes_and_is_backed_up_the_relay_interrupts_nobody() -> None:
    with line() as (it, _):
        for less in (ONE, b""):  # also when what comes is not served in C, or nothing comes
            assert becomes(os.SCHED_BATCH, it, MANY)
            assert becomes(os.SCHED_OTHER, it, less)


@compiled
@in_a_thread
def test_frames_that_come_one_by_one_or_now_and_then_find_a_relay_that_wakes_up_at_once() -> None:
    with line() as (it, _):
        for _ in range(5000):
            it.client.send(ONE)
            it.poller.select(0)
            assert it.heard(it.server) == ONE
            assert os.sched_getscheduler(0) == os.SCHED_OTHER
        for _ in range(10):
            it.says("c2s", ONE * 2)
            assert os.sched_getscheduler(0) == os.SCHED_OTHER
            it.poller.select(0.005)


@compiled
@in_a_thread
def test_a_policy_that_somebody_chose_for_the_relay_stays() -> None:
    with line() as (it, _):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        assert not becomes(os.SCHED_BATCH, it, MANY, within=0.1)
        assert not becomes(os.SCHED_OTHER, it, ONE, within=0.1)
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        assert becomes(os.SCHED_BATCH, it, MANY)
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        assert not becomes(os.SCHED_OTHER, it, ONE, within=0.1)


SCHED_SETSCHEDULER = {"x86_64": 144, "aarch64": 119}


EPERM, KILL = 0x50000 | errno.EPERM, 0x80000000


def forbid_policies(answer: int) -> None:
    """From here on the calling thread's `sched_setscheduler` gets this (EPERM), or ends the process (KILL)."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))

    steps = (
        (0x20, 0, 0, 0),  # load the number of the call
        (0x15, 0, 1, SCHED_SETSCHEDULER[platform.machine()]),  # is it this?
        (0x06, 0, 0, answer),  # then this,
        (0x06, 0, 0, 0x7FFF0000),  # else let it pass
    )
    program = Program(len(steps), b"".join(struct.pack("HBBI", *step) for step in steps))
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges, seccomp, filtered = 38, 22, 2
    assert libc.prctl(no_new_privileges, 1, 0, 0, 0) == 0
    assert libc.prctl(seccomp, filtered, ctypes.byref(program)) == 0


known = pytest.mark.skipif(
    platform.machine() not in SCHED_SETSCHEDULER, reason="this machine's number of the call is not known here"
)


@compiled
@known
@in_a_thread
def test_where_a_policy_cannot_be_chosen_the_relay_does_without() -> None:
    forbid_policies(EPERM)
    with pytest.raises(PermissionError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with line() as (it, _):
        assert not becomes(os.SCHED_BATCH, it, MANY, within=0.1)
        assert not becomes(os.SCHED_BATCH, it, ONE, within=0.1)


@compiled
@known
def test_where_asking_for_a_policy_is_deadly_the_relay_ends_at_the_start_and_not_under_load(tmp_path: Path) -> None:
    command = (
        "wsproxy",
        "record",
        "--upstream",
        "ws://127.0.0.1:9",
        "--listen",
        "127.0.0.1:0",
        "--control",
        "127.0.0.1:0",
    )
    done = subprocess.run(
        [sys.executable, "-m", *command, "--out", str(tmp_path)],
        preexec_fn=lambda: forbid_policies(KILL),
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == -signal.SIGSYS, done.stderr


@compiled
def test_a_flow_that_does_not_read_is_not_read() -> None:
    with line() as (it, _):
        flow = it.splice.c2s
        flow.reading = False  # said by another one of the same round, after the kernel had told of its bytes
        assert it.says("c2s", frame(b"later", mask=MASK)) == b""
        flow.reading = True
        assert it.says("c2s", b"") == frame(b"later", mask=MASK)


@compiled
def test_the_relay_says_which_it_is(relay: RelayProcess) -> None:
    assert relay.health()[1]["native"] is True


def test_without_the_library_or_by_choice_it_is_python(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "wsproxy", tmp_path / "wsproxy", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    assert _says(tmp_path) == "False None"
    assert _says(ROOT, WSPROXY_PUREPYTHON="1") == "False None"


@compiled
def test_a_library_that_is_older_than_its_source_is_not_used(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "wsproxy", tmp_path / "wsproxy", ignore=shutil.ignore_patterns("__pycache__"))
    assert _says(tmp_path) == "True None"
    with (tmp_path / "wsproxy" / "relay" / "native.c").open("a") as source:
        source.write("/* a change */\n")
    said = _says(tmp_path)
    assert said.startswith("False ") and said.endswith("install wsproxy anew, 'pip install -e .'")


@compiled
def test_a_library_of_another_version_is_not_used(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "wsproxy", tmp_path / "wsproxy", ignore=shutil.ignore_patterns("__pycache__"))
    module = tmp_path / "wsproxy" / "relay" / "ends.py"
    module.write_text(module.read_text().replace('"fd"', '"_fd"').replace("self.fd", "self._fd"))
    said = _says(tmp_path)
    assert said.startswith("False ") and "'fd'" in said and said.endswith("is not used: install wsproxy anew")


def _says(folder: Path, **environment: str) -> str:
    code = "from wsproxy.relay import quick; print(quick.NATIVE, quick.REMARK)"
    kept = {name: value for name, value in os.environ.items() if name != "WSPROXY_PUREPYTHON"}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(folder)} | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


SANITIZED = """
import pytest
import tests.relay.test_native as stories
from tests.fuzz.targets import frames
from wsproxy.recording.whole_frames import WholeFramePacker
from wsproxy.relay import quick
from wsproxy.wire.frames import FrameStream

assert quick.NATIVE, quick.REMARK
stories.test_c_and_python_record_and_forward_the_same()
stories.test_a_receiver_that_takes_a_part_or_nothing_gets_the_rest_later(pytest.MonkeyPatch())
stories.test_a_fault_in_recording_makes_the_direction_opaque_and_the_bytes_go_on()
for words in (b"\\x81\\x00", b"\\x82\\x80abcd", b"\\x81\\x7e\\x00\\x7e" + b"x" * 126, b"\\x82\\x7f" + bytes(5) + b"\\x01\\x00\\x00" + b"x" * 65536):
    for size in (1, 2, 3, 20_000, 32_767, 65_535, 65_536, 262_144):  # as many very short frames as a read holds, and one more byte
        cut = FrameStream(1, "c2s")
        for start in (b"start", WholeFramePacker(1, "c2s", 0)._start, b"s" * 200):
            quick.native.pack((words * (size // len(words) + 1))[:size], cut, start, -1)
for size in range(300):
    quick.native.pack(bytes(range(256))[size:] * 3, FrameStream(1, "c2s"), b"s" * 1000, 1 << 62)
"""


@compiled
def test_the_c_code_stays_within_bounds_says_the_compiler_s_own_check(tmp_path: Path) -> None:
    libraries = [
        subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
        if shutil.which("gcc")
    ]
    if not libraries or not all(map(os.path.isabs, libraries)):
        pytest.skip("no gcc that can sanitize")
    shutil.copytree(ROOT / "wsproxy", tmp_path / "wsproxy", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    source = tmp_path / "wsproxy" / "relay" / "native.c"
    built = source.with_name("native" + str(sysconfig.get_config_var("EXT_SUFFIX")))
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    options = ["-O1", "-g", "-shared", "-fPIC", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    places = [f"-I{sysconfig.get_path('include')}", f'-DSOURCE="{digest}"']
    subprocess.run(["gcc", *options, *places, str(source), "-o", str(built)], check=True)
    done = subprocess.run(
        [sys.executable, "-c", SANITIZED],
        cwd=tmp_path,
        env=os.environ
        | LENIENT
        | {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PYTHONMALLOC": "malloc", "LD_PRELOAD": " ".join(libraries)}
        | {"ASAN_OPTIONS": "detect_leaks=0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@compiled
def test_a_library_that_is_given_nonsense_says_so() -> None:
    native = quick.native
    nine = (int,) * 9
    heads, constants = (b"",) * 256, (b"",) * 10
    for arguments in (
        (),
        (nine, heads),
        (nine[1:], heads, constants),
        (nine, heads[1:], constants),
        (nine, heads, (1,) * 10),
    ):
        with pytest.raises((TypeError, AttributeError)):
            native.prepare(*arguments)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="is no slot"):
        native.prepare((type("Flow", (), {"reading": True}), *nine[1:]), heads, constants)
    with pytest.raises(ValueError, match="too long"):
        native.prepare(nine, heads, (b"x" * 60,) * 10)
    server = native.Server(READ_SIZE, -1, {})
    with pytest.raises(OSError):
        server.poll(0, 10)
    with pytest.raises(TypeError):
        server.poll("soon", 10)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        server.poll(0)  # type: ignore[call-arg]
