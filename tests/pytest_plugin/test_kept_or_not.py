"""When a cassette is written, when the old one stays, and what is said of one that cannot be had."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgpack
import pytest

from wsproxy.recording.events import VERSION

from .inner import PLUGIN, Inner
from .real_server import RealServer

pytest_plugins = ["pytester"]

ONE = """
import os
from talk import *

def test_words(wsproxy_cassette):
    assert ask(wsproxy_cassette(UPSTREAM), "hello") == ["hello!"]
    assert "FAIL" not in os.environ
    if "INTERRUPT" in os.environ:
        raise KeyboardInterrupt
"""
FILE = "test_chat/test_words.msgpack"


@pytest.fixture
def suite(inner: Inner) -> Inner:
    inner.write("test_chat.py", ONE)
    return inner


def test_a_test_that_fails_leaves_no_cassette_and_no_folder(suite: Inner) -> None:
    suite.environment(FAIL="1")
    suite.run().went(failed=1).says(
        "- wsproxy -",
        f"the cassette cassettes/{FILE} of test_chat.py::test_words was not written: the test did not pass",
    )
    assert not suite.cassette(".").exists()


@pytest.mark.parametrize("how", ["FAIL", "INTERRUPT"])
def test_a_test_that_fails_or_is_interrupted_keeps_the_old_cassette(suite: Inner, how: str) -> None:
    suite.run().went(passed=1)
    old = suite.cassette(FILE).read_bytes()
    suite.environment(**{how: "1"})
    suite.run("--wsproxy-cassettes=all")
    assert suite.cassettes() == [f"cassettes/{FILE}"] and suite.cassette(FILE).read_bytes() == old


def test_a_run_that_is_killed_takes_its_relay_and_what_that_recorded_with_it(suite: Inner, server: RealServer) -> None:
    suite.write(
        "test_chat.py",
        """
import os, signal
from talk import *

def test_words(wsproxy_cassette):
    assert ask(wsproxy_cassette(UPSTREAM), "hello") == ["hello!"]
    print("RECORDED", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
""",
    )
    temporary = suite.folder / "temporary"
    temporary.mkdir()
    suite.environment(TMPDIR=str(temporary))
    command = [sys.executable, "-m", "pytest", *PLUGIN, "-s", "-p", "no:cacheprovider"]
    ran = subprocess.run(command, cwd=suite.folder, stdout=subprocess.PIPE, text=True)
    assert ran.returncode == -signal.SIGKILL and "RECORDED" in ran.stdout
    wait_for_relays_in(temporary)
    assert suite.cassettes() == [] and list(temporary.glob("wsproxy-*")) == []


def wait_for_relays_in(folder: Path) -> None:
    """Wait for the end of the processes that were told to record below this folder."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() not in (process / "cmdline").read_bytes():
                continue
            fd = os.pidfd_open(int(process.name))
        except OSError:
            continue  # it has ended already
        try:
            assert select.select([fd], [], [], 20)[0], "the relay outlived the run"
        finally:
            os.close(fd)


def test_a_server_that_is_not_there_is_named(suite: Inner, server: RealServer) -> None:
    server.stop()
    ran = suite.run().went(failed=1)
    ran.says(
        f"the real server {server.url} was not reached (connection refused): start it, or correct the upstream.",
        f"the cassette cassettes/{FILE} of test_chat.py::test_words was not written: there is nothing to record",
    )
    assert "InvalidStatus" not in ran.text
    suite.write(
        "test_chat.py",
        "from talk import *\n\ndef test_words(wsproxy_cassette):\n    try:\n        ask(wsproxy_cassette(UPSTREAM))\n"
        "    except Exception:\n        pass\n",
    )
    suite.run().went(failed=1).says("was not reached (connection refused)")
    assert not suite.cassette(".").exists()


def test_a_test_that_connects_to_nothing_makes_no_cassette_and_is_told(suite: Inner) -> None:
    suite.write(
        "test_chat.py", "from talk import *\n\ndef test_words(wsproxy_cassette):\n    wsproxy_cassette(UPSTREAM)\n"
    )
    suite.run().went(passed=1, errors=1).says("was not written: nothing was said to ws://127.0.0.1:")
    assert not suite.cassette(".").exists()


def test_an_upstream_that_can_be_none_is_told(suite: Inner) -> None:
    suite.environment(UPSTREAM="ws://host.invalid:99999")
    suite.run().went(failed=1).says("wsproxy_cassette('ws://host.invalid:99999') in *: not a URL")
    suite.environment(UPSTREAM="ws://bad host:80")
    suite.run().went(failed=1).says("was not")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda data: data[:-10], "torn at byte "),
        (lambda data: b"\xc1\xa4kind".join(data.rsplit(b"\xa4kind", 1)), "damaged at byte "),
        (lambda data: b"", "empty, or cut off inside its header"),
        (lambda data: b"hello", "not a wsproxy recording"),
        (lambda data: data.replace(msgpack.packb(VERSION), msgpack.packb([3, 0]), 1), "format version 3.0"),
    ],
)
def test_a_spoilt_cassette_is_not_played(suite: Inner, spoil: object, says: str) -> None:
    suite.run().went(passed=1)
    path = suite.cassette(FILE)
    path.write_bytes(spoil(path.read_bytes()))  # type: ignore[operator]
    suite.run().went(failed=1).says(
        f"the cassette cassettes/{FILE} of test_chat.py::test_words cannot be played: *{says}",
        "Restore it, or record it anew: pytest test_chat.py::test_words --wsproxy-cassettes=all",
    )


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_recorded(suite: Inner, server: RealServer) -> None:
    suite.write("cassettes", "a file where the folder should be")
    suite.run().went(failed=1).says(
        f"cannot write the cassette cassettes/{FILE} of test_chat.py::test_words: ", "Make the folder writable"
    )
    assert server.heard == []


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody may write there; for root, who may write anywhere, the folder becomes a file system that nobody can write to."""
    folder.chmod(0o555)
    if not os.access(folder, os.W_OK):
        yield
        return
    mount = ["mount", "--bind", str(folder), str(folder)]
    if (done := subprocess.run(mount, capture_output=True, text=True)).returncode:
        pytest.skip(f"root cannot mount here: {done.stderr.strip()}")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_read_only_folder_is_told_and_can_be_played(suite: Inner) -> None:
    suite.run().went(passed=1)
    with read_only(suite.cassette("test_chat")):
        suite.run().went(passed=1)
        suite.run("--wsproxy-cassettes=all").went(failed=1).says(
            "cannot write the cassette", "Make the folder writable"
        )


def test_an_exchange_of_folders_that_was_cut_off_leaves_the_old_cassette(suite: Inner) -> None:
    suite.write(
        "test_chat.py",
        """
from talk import *

def test_words(wsproxy_cassette):
    for word in ("hello", "bye"):
        assert ask(f"{wsproxy_cassette(UPSTREAM)}/{word}", word)
""",
    )
    suite.run().went(passed=1)
    suite.cassette("test_chat/test_words").rename(suite.cassette("test_chat/.test_words.old"))
    suite.run("--wsproxy-cassettes=none").went(passed=1)
    suite.run("--wsproxy-cassettes=all").went(passed=1)
    assert suite.cassettes() == [f"cassettes/test_chat/test_words/00{n}.msgpack" for n in (1, 2)]
