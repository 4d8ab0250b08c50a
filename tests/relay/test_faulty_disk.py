"""A disk that answers with EIO or is mounted read-only. (One that stalls: test_stalled_disk.py.)"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .faulty import FaultyDisk
from .relay_process import RelayProcess
from .test_disk_trouble import mend_and_end, talk, told


def test_input_output_errors_cost_a_gap_and_no_traffic(disk: FaultyDisk) -> None:
    client, server = disk.relay.open_websocket("/stream/s")
    talk(client, server, 1_000)
    disk.does("eio")
    mend_and_end(disk.relay, client, server, lambda: disk.does(""))
    assert "input/output error" in told(disk.relay)[0]


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
    assert "read-only file system" in told(relay)[0]
