"""The relay that records a test: a real `wsproxy record` as a child process, on free ports, into a folder of its own."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ..errors import CannotStart
from ..recording.folder import recordings

_READY = 30.0  # seconds
_GRACE = 2.0  # seconds for connections that the test left open
_CHILD = Path(__file__).with_name("relay_child.py")
_ROOT = Path(__file__).resolve().parents[2]


class RelayChild:
    """A relay in front of a real server.

    Args:
        upstream: the server's URL, without a path.

    Attributes:
        port: where clients connect.

    Raises:
        CannotStart: in its own words.
    """

    def __init__(self, upstream: str) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="wsproxy-cassette-"))
        self._out = self._home / "recordings"
        self._log = self._home / "log"
        try:
            self._process, self.port = self._start(upstream)
        except BaseException:
            self.discard()
            raise

    def recordings(self) -> list[Path]:
        """What was recorded so far, in order. Whole once the relay was stopped."""
        return recordings(self._out)

    def stop(self) -> str | None:
        """SIGTERM, and wait for its end. What went wrong, or None."""
        self._process.terminate()
        try:
            status = self._process.wait(_GRACE + _READY)
        except subprocess.TimeoutExpired:
            return "the relay did not end when it was told to"
        finally:
            self._kill()
        return None if status == 0 else f"the relay ended with status {status}: {self._words()}"

    def discard(self) -> None:
        """Remove what it recorded, and the relay if it is still there."""
        if hasattr(self, "_process"):
            self._kill()
        shutil.rmtree(self._home, ignore_errors=True)

    def _start(self, upstream: str) -> tuple[subprocess.Popen[bytes], int]:
        command = [sys.executable, "-P", str(_CHILD), str(self._home)]
        command += ["record", "--upstream", upstream, "--out", str(self._out)]
        command += ["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--quiet", "--grace", str(_GRACE)]
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        here, there = os.pipe()
        with open(here, "rb") as pipe:
            try:
                with self._log.open("wb") as log:
                    process = subprocess.Popen(
                        [*command, "--ready-fd", str(there)],
                        stdin=subprocess.PIPE,
                        stdout=log,
                        stderr=log,
                        pass_fds=[there],
                        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                    )
            finally:
                os.close(there)
            self._process = process
            line = pipe.readline() if select.select([pipe], [], [], _READY)[0] else b""
        if not line:
            raise CannotStart(f"the relay did not start: {self._words()}")
        return process, int(json.loads(line)["port"])

    def _kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _words(self) -> str:
        """The last line of what it wrote."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1].removeprefix("wsproxy: ") if lines else "it wrote nothing"
