"""The peers that no extra of ours brings: other versions of `websockets`, Node's `ws`, Chromium. In CI they must be there.

Packages go into a folder of their own beside the temporary files, once per machine; a peer finds them there first.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from tests.replay.conversations import node_with_ws
from tests.strict import LENIENT

CACHE = Path(tempfile.gettempdir()) / f"wsproxy-peers-{os.getuid()}"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def missing(reason: str) -> NoReturn:
    """Skips the test; fails it in CI."""
    pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    raise AssertionError


def websockets_folder(version: str) -> Path:
    """A folder with this version of `websockets`: a number, or "newest"."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = CACHE / f"websockets-{version}-python{python}"
    if not folder.is_dir():
        CACHE.mkdir(mode=0o700, exist_ok=True)
        wanted = "websockets" if version == "newest" else f"websockets=={version}"
        with tempfile.TemporaryDirectory(dir=CACHE) as half:
            install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", f"{half}/whole", wanted]
            done = subprocess.run(install, capture_output=True, text=True, env=os.environ | LENIENT)
            if done.returncode:
                missing(f"pip install {wanted}: {done.stderr.strip()[-200:]}")
            try:
                os.rename(f"{half}/whole", folder)
            except OSError:
                assert folder.is_dir()  # somebody else was faster
    return folder


def node_and_ws(folder: Path) -> tuple[str, dict[str, str]]:
    """Node.js, and the environment in which it finds `ws`."""
    (node,) = node_with_ws(folder)
    return node, {"NODE_PATH": str(folder / "node_modules")}


def browser() -> str:
    """The program of a Chromium."""
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    missing(f"no browser: none of {', '.join(BROWSERS)} is installed")
