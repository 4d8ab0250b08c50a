"""A disk that answers with EIO, stalls, or is mounted read-only: a stand-in for it is preloaded into a real relay."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .raw import MASK, RawServer, frame
from .relay_process import RelayProcess, assert_passed
from .test_disk_trouble import mend_and_end, talk
from .test_routing import goodbye


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in, compiled."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler here")
    library = tmp_path_factory.mktemp("shim") / "faulty_disk.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O2", "-o", library, Path(__file__).parent / "faulty_disk.c", "-ldl"],
        check=True,
    )
    return library


class Disk:
    """A relay on a disk that can be told what to do."""

    def __init__(self, relay: RelayProcess, how: Path) -> None:
        self.relay = relay
        self._how = how

    def does(self, how: str) -> None:
        """From the next write on: "eio", "stall MILLISECONDS" or "" for well."""
        new = self._how.with_suffix(".new")
        new.write_text(how)
        new.replace(self._how)


@pytest.fixture
def disk(shim: Path, tmp_path: Path, upstream: RawServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    for name, value in {"LD_PRELOAD": shim, "FAULTY_FOLDER": tmp_path / "out", "FAULTY_HOW": tmp_path / "how"}.items():
        monkeypatch.setenv(name, str(value))
    with RelayProcess(upstream, tmp_path / "out") as relay:
        for name in ("LD_PRELOAD", "FAULTY_FOLDER", "FAULTY_HOW"):
            monkeypatch.delenv(name)
        yield Disk(relay, tmp_path / "how")


def test_input_output_errors_cost_a_gap_and_no_traffic(disk: Disk) -> None:
    client, server = disk.relay.open_websocket("/stream/s")
    talk(client, server, 1_000)
    disk.does("eio")
    mend_and_end(disk.relay, client, server, lambda: disk.does(""))
    assert "input/output error" in disk.relay.stderr[0]


def test_a_write_that_blocks_loses_nothing_and_no_order(disk: Disk) -> None:
    """It delays what is forwarded, of every connection: written before forwarded is the promise, and there is one loop."""
    line, other = disk.relay.open_websocket("/stream/s"), disk.relay.open_websocket("/stream/other")
    disk.does("stall 1500")
    line[0].send(frame(b"waits for the disk", mask=MASK))
    other[0].send(frame(b"waits as well", mask=MASK))
    line[1].read(len(line[0].sent) - len(line[1].received))
    disk.does("")
    other[1].read(len(other[0].sent) - len(other[1].received))
    for client, server in (line, other):
        talk(client, server, 100)
        goodbye(client, server)
    disk.relay.stop()
    assert disk.relay.stderr == []
    assert_passed(disk.relay.recording("s"), *line)
    assert_passed(disk.relay.recording("other"), *other)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """A file system at `disk`; gives what mounts it anew, "ro" or "rw"."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {os.fsdecode(done.stderr).strip()}")
    yield lambda how: subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True) and None
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_turns_read_only_costs_no_traffic(
    start_relay: Callable[..., RelayProcess], tmp_path: Path, mounted: Callable[[str], None]
) -> None:
    """An open recording keeps the kernel from it; the next one meets it."""
    relay = start_relay(out=tmp_path / "disk" / "out")
    mounted("ro")
    client, server = relay.open_websocket("/stream/s")
    talk(client, server, 100)
    mend_and_end(relay, client, server, lambda: mounted("rw"))
    assert "read-only file system" in relay.stderr[0]
