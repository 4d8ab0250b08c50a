"""Odd environments: locales, no home, closed outputs, umasks, folders; and without what is optional."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.relay.raw import ACCEPTED, RawServer, frame, upgrade
from tests.replay.made import CLIENT, SERVER, spoken

from .place import ROOT, Place, assert_read, assert_works

BARE = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}


@pytest.mark.parametrize(
    "locale",
    [
        {},
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1:strict"},
        {"LANG": "de_XX.made-up"},
        {"PYTHONIOENCODING": "cp437"},
    ],
    ids=lambda locale: " ".join(locale.values()) or "unset",
)
def test_any_locale(upstream: RawServer, tmp_path: Path, locale: dict[str, str]) -> None:
    assert_works(Place(environment=BARE | locale), upstream, tmp_path / "out", "--live")


def test_json_stays_json_where_the_locale_has_no_such_character(tmp_path: Path) -> None:
    words = [(CLIENT, upgrade("/stream/x")), (SERVER, ACCEPTED), (SERVER, frame("ü漢😀".encode()))]
    recording = spoken(tmp_path / "r.msgpack", words)
    place = Place(environment=BARE | {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"})
    objects = [json.loads(line) for line in place.run("show", recording.path, "--json").stdout.splitlines()]
    assert "ü漢😀" in [item.get("payload") for item in objects]


def test_without_a_home(upstream: RawServer, tmp_path: Path) -> None:
    assert_works(Place(environment=BARE), upstream, tmp_path / "out")
    assert_works(Place(environment=BARE | {"HOME": "/nonexistent"}), upstream, tmp_path / "out-2")


def test_as_a_user_that_has_no_name(upstream: RawServer, tmp_path: Path) -> None:
    users = ("unshare", "--user", "--map-user=54321", "--map-group=54321")
    if not shutil.which("unshare") or subprocess.run([*users, "true"], capture_output=True).returncode:
        pytest.skip("no user namespace can be had here")
    check = "import os, pwd; print(os.getuid(), [user for user in pwd.getpwall() if user.pw_uid == os.getuid()])"
    assert Place((*users, sys.executable, "-c", check), BARE).run().stdout == "54321 []\n"
    assert_works(Place((*users, *Place().command), BARE, tmp_path), upstream, tmp_path / "out")


@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_outputs_closed(upstream: RawServer, tmp_path: Path, redirect: str) -> None:
    assert_works(Place(redirect=redirect), upstream, tmp_path / "out", "--live")


def test_an_output_that_is_full_is_one_line_and_takes_nothing_from_the_recording(
    upstream: RawServer, tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    with Place(redirect=">/dev/full").recording(upstream, "--out", out, "--live", status=2) as recorder:
        client, server = recorder.open("/stream/odd")
        client.close()
        server.read_to_fin()
        server.close()
    assert recorder.err == "wsproxy: cannot write the output: no space left on device\n"
    assert_read(Place(), out)
    done = Place(redirect=">/dev/full").run("show", "@last", "--dir", out)
    assert (done.returncode, done.stderr) == (2, recorder.err)


def test_a_closed_output_is_not_given_to_a_recording(upstream: RawServer, tmp_path: Path) -> None:
    with Place(redirect="<&- >&- 2>&-").recording(upstream, "--out", str(tmp_path / "out"), "--live") as recorder:
        client, server = recorder.open("/stream/odd")
        links = {n: os.readlink(f"/proc/{recorder.process.pid}/fd/{n}") for n in range(3)}
        assert links == dict.fromkeys(range(3), "/dev/null")
        client.close()
        server.read_to_fin()
        server.close()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_any_umask_leaves_private_files_in_a_private_folder(upstream: RawServer, tmp_path: Path, umask: int) -> None:
    out = tmp_path / "out"
    assert_works(Place(options={"umask": umask}), upstream, out)
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o600}


def test_from_a_working_directory_that_cannot_be_written(upstream: RawServer, tmp_path: Path) -> None:
    place = Place(cwd="/proc")  # nobody can, not even root
    assert_works(place, upstream, tmp_path / "out")
    done = place.run("record", "--upstream", "ws://127.0.0.1:1", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0")
    assert done.returncode == 2
    assert done.stderr.startswith("wsproxy: cannot write recordings into recordings: ")
    assert len(done.stderr.splitlines()) == 1


def test_from_a_working_directory_that_is_gone(upstream: RawServer, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = ("/bin/sh", "-c", f'rmdir "{gone}" && exec "$@"', "sh", *Place().command)
    with Place(command, cwd=gone).recording(upstream, "--out", str(tmp_path / "out")) as recorder:
        client, server = recorder.open("/stream/odd")
        client.close()
        server.read_to_fin()
        server.close()
    assert_read(Place(), str(tmp_path / "out"))


def test_onto_another_file_system(upstream: RawServer, tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is no file system of its own here")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        assert_works(Place(), upstream, Path(folder) / "out")


@pytest.mark.parametrize("out", ["out", "./a/../out", "out/", "ünï cödé \u3042/out", "-out", "a\nb"])
def test_into_a_relative_folder(upstream: RawServer, tmp_path: Path, out: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "here").mkdir()
    out = out.replace("./a/..", "../a/..")
    given = f"./{out}" if out.startswith("-") else out
    assert_works(Place(cwd=tmp_path / "here"), upstream, tmp_path / "here" / out, out=given)


def test_into_a_folder_with_a_very_long_path(upstream: RawServer, tmp_path: Path) -> None:
    out = tmp_path.joinpath(*["d" * 200] * 17)
    assert 3400 < len(str(out)) < 3800
    assert_works(Place(), upstream, out)


def test_a_path_that_is_too_long_is_one_line(tmp_path: Path) -> None:
    addresses = ("--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--upstream", "ws://127.0.0.1:1")
    for out in (tmp_path.joinpath(*["d" * 200] * 25), tmp_path / ("d" * 300)):
        done = Place().run("record", *addresses, "--out", out)
        assert done.returncode == 2
        assert "file name too long" in done.stderr
        assert len(done.stderr.splitlines()) == 1


HIDE = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name in {names!r}:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Hidden())
"""
OPTIONAL = ("websockets.speedups", "uvloop", "msgpack._cmsgpack", "aiohttp._http_parser", "aiohttp._websocket.mask")


def test_without_anything_that_is_written_in_c(upstream: RawServer, tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "sitecustomize.py").write_text(HIDE.format(names=OPTIONAL))
    environment = BARE | {"PYTHONPATH": f"{tmp_path / 'hidden'}:{ROOT}", "MSGPACK_PUREPYTHON": "1"}
    environment["AIOHTTP_NO_EXTENSIONS"] = "1"
    place = Place(environment=environment)
    assert_works(place, upstream, tmp_path / "out")
    check = "import wsproxy.wire.masking as m, msgpack; print(m.apply_mask.__module__, msgpack.Packer.__module__)"
    python = Place((sys.executable, "-c", check), environment).run()
    assert python.stdout.split() == ["websockets.utils", "msgpack.fallback"]
    for sample in sorted((ROOT / "recordings" / "samples").glob("*.msgpack")):
        for command in ("verify", "show", "diagnose"):
            slow, fast = place.run(command, sample), Place().run(command, sample)
            assert (slow.returncode, slow.stdout, slow.stderr) == (fast.returncode, fast.stdout, fast.stderr)
