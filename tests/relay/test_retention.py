"""`wsproxy record --max-bytes --max-age`: a running relay keeps its folder within limits, and nothing else suffers."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from wsproxy.recording.folder import file_name
from wsproxy.recording.format import pack_header

from ..recording.samples import HEADER
from .raw import DEADLINE, MASK, frame
from .relay_process import RelayProcess, assert_passed

StartRelay = Callable[..., RelayProcess]


def put(folder: Path, stream: str, age: float, size: int = 1000) -> Path:
    """A recording of another run that was last written `age` seconds ago."""
    folder.mkdir(mode=0o700, exist_ok=True)
    written = time.time_ns() - round(age * 1e9)
    path = folder / file_name(stream, written)
    path.write_bytes(pack_header(HEADER).ljust(size, b"\xc0"))
    os.utime(path, ns=(written, written))
    return path


def until(condition: Callable[[], bool]) -> None:
    """Ask again and again; a relay looks at its folder twice a second."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it never came true"


def stream(relay: RelayProcess, name: str, size: int) -> None:
    client, server = relay.open_websocket(f"/stream/{name}")
    client.send(frame(b"x" * size, mask=MASK))
    server.read(len(client.sent) - len(server.received))
    client.close()
    server.read_to_fin()
    server.close()


def mark(relay: RelayProcess, stream_id: str) -> None:
    body = json.dumps({"stream_id": stream_id, "stage": "my.stage"}).encode()
    urllib.request.urlopen(f"http://127.0.0.1:{relay.control_port}/v1/markers", body, timeout=DEADLINE).close()


def test_old_recordings_go_at_the_start_and_it_is_counted_and_said_once(
    start_relay: StartRelay, tmp_path: Path
) -> None:
    old = [put(tmp_path / "out", f"old{n}", 3600 + n) for n in range(5)]
    young = put(tmp_path / "out", "young", 1)
    relay = start_relay("--max-age", "1h", "--live")
    until(lambda: relay.metric("retention_removed_total") == 5)
    assert relay.metric("retention_removed_bytes_total") == 5000
    assert not any(path.exists() for path in old) and young.exists()
    relay.said("removed 5 old recordings (5,000 bytes); 1 are left (1,000 bytes)")
    relay.stop()
    assert len(relay.stderr) == 1


def test_as_recordings_finish_the_oldest_make_room(start_relay: StartRelay, tmp_path: Path) -> None:
    first = put(tmp_path / "out", "first", 60, size=50_000)
    relay = start_relay("--max-bytes", "100KB")
    stream(relay, "a", 40_000)
    stream(relay, "b", 40_000)
    until(lambda: not first.exists())
    stream(relay, "c", 40_000)
    until(lambda: not any("Z-a" in name for name in relay.files()))
    relay.stop()
    assert {name.split("Z-")[1] for name in relay.files()} == {"b.msgpack", "c.msgpack"}
    assert relay.stderr == []


def test_an_open_recording_of_any_relay_stays(start_relay: StartRelay, tmp_path: Path) -> None:
    """Two relays with one folder, the limits of both far exceeded by what is open."""
    one, other = start_relay("--max-bytes", "1KB"), start_relay("--max-bytes", "1KB")
    lines = {}
    for name, relay in (("one", one), ("other", other)):
        lines[name] = relay.open_websocket(f"/stream/{name}")
        client, server = lines[name]
        client.send(frame(b"x" * 20_000, mask=MASK))
        server.read(len(client.sent) - len(server.received))
    for relay in (one, other):
        stream(relay, "small", 500)
        stream(relay, "next", 500)
    until(lambda: not any("Z-small" in name or "Z-next" in name for name in one.files()))
    for client, server in lines.values():
        client.send(frame(b"y", mask=MASK))
        server.read(len(client.sent) - len(server.received))
    for name, relay in (("one", one), ("other", other)):
        assert_passed_so_far(relay, name)
        assert relay.health()[0] == 200
        assert relay.metric("recording_gaps_total") == 0


def assert_passed_so_far(relay: RelayProcess, name: str) -> None:
    rec = relay.recording(name)
    assert sum(1 for _ in rec.frames()) == 2
    assert rec.ending is None or rec.ending.state in ("open", "unfinished")


def test_a_late_marker_of_a_removed_recording_makes_a_new_one(start_relay: StartRelay, tmp_path: Path) -> None:
    relay = start_relay("--max-bytes", "1KB")
    stream(relay, "s", 5000)
    until(lambda: relay.metric("retention_removed_total") == 1)
    mark(relay, "s")
    relay.stop()
    rec = relay.recording("s")
    assert [marker.stage for marker in rec.markers()] == ["my.stage"]
    assert relay.stderr == []


def test_a_recording_that_a_person_removed_is_no_trouble_either(relay: RelayProcess) -> None:
    stream(relay, "s", 5000)
    until(lambda: relay.metric("recordings_open") == 0)
    (path,) = (relay.out / name for name in relay.files())
    path.unlink()
    client, server = relay.open_websocket("/stream/s")
    client.close()
    server.read_to_fin()
    server.close()
    relay.stop()
    assert_passed(relay.recording("s"), client, server)
    assert relay.stderr == []


def test_a_folder_that_cannot_be_swept_is_one_line_and_traffic_flows(start_relay: StartRelay, tmp_path: Path) -> None:
    relay = start_relay("--max-bytes", "1KB")
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    client, server = relay.open_websocket("/stream/s")
    client.close()
    server.read_to_fin()
    server.close()
    assert relay.health()[0] == 200
    relay.stop()
    assert all("limits" in line for line in relay.stderr)
    assert len(relay.stderr) <= 1
