"""A relay on a disk that can be told to fail, to be slow, or to block: a stand-in for the C library's calls is preloaded into it."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .raw import DEADLINE, RawServer
from .relay_process import RelayProcess

StartOnDisk = Callable[..., "FaultyDisk"]


class FaultyDisk:
    """A relay, and what its disk does."""

    def __init__(self, relay: RelayProcess, how: Path) -> None:
        self.relay = relay
        self._how = how
        self._blocked = how.with_suffix(".blocked")

    def does(self, how: str) -> None:
        """From the next call on: "eio", "stall MILLISECONDS", "block CALL", or "" for well. (See faulty_disk.c.)"""
        new = self._how.with_suffix(".new")
        new.write_text(how)
        new.replace(self._how)

    def blocks(self, call: str = "write") -> None:
        """From the next call of this name on; see `until_blocked`."""
        self._blocked.unlink(missing_ok=True)
        self.does(f"block {call}")

    def until_blocked(self) -> None:
        """Wait until a call is being blocked. It is until `does` is called."""
        deadline = time.monotonic() + DEADLINE
        while not self._blocked.exists():
            assert time.monotonic() < deadline, "nothing is called"


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in, compiled."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler here")
    library = tmp_path_factory.mktemp("shim") / "faulty_disk.so"
    source = Path(__file__).parent / "faulty_disk.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.fixture
def start_on_disk(
    shim: Path, tmp_path: Path, upstream: RawServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StartOnDisk]:
    """Starts a relay with options on such a disk, with `environment` beside the stand-in's; it is killed at the end of the test."""
    with ExitStack() as stack:

        def start(*options: str, upstream: RawServer = upstream, **environment: str) -> FaultyDisk:
            how = tmp_path / "how"
            variables = {"LD_PRELOAD": str(shim), "FAULTY_FOLDER": str(tmp_path / "out"), "FAULTY_HOW": str(how)}
            with monkeypatch.context() as patch:
                for name, value in (variables | environment).items():
                    patch.setenv(name, value)
                relay = stack.enter_context(RelayProcess(upstream, tmp_path / "out", *options))
            return FaultyDisk(relay, how)

        yield start


@pytest.fixture
def disk(start_on_disk: StartOnDisk) -> FaultyDisk:
    return start_on_disk()
