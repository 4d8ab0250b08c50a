"""Peers as processes: servers that tell their port, clients that take jobs, a browser with a page that does the same."""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.relay.raw import DEADLINE
from tests.strict import LENIENT

PROGRAMS = Path(__file__).parent / "programs"
START = 60.0  # seconds for a program to say its first word, on a busy machine

Report = dict[str, Any]


class _Program:
    """A program that speaks lines of JSON. What it writes to standard error is shown with the failing test."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=PROGRAMS,
            env={**os.environ, **LENIENT, **environment},  # the libraries are not ours
        )

    def hear(self, seconds: float) -> Any:
        """The next line; the program has to say it within this time. For lines that come one at a time."""
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], seconds)[0], f"{self.process.args}: not a word"
        line = self.process.stdout.readline()
        assert line, f"{self.process.args}: ended with {self.process.wait(DEADLINE)}"
        return json.loads(line)

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Server(_Program):
    """A server program.

    Attributes:
        port: where it listens.
    """

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        super().__init__(command, environment)
        self.port: int = self.hear(START)["port"]
        self._closes: dict[str, Any] = {}
        self._came = threading.Condition()
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def close_frame(self, target: str) -> tuple[int, str | None]:
        """(code, reason if the library tells it) of the close frame that the connection to this target got."""
        with self._came:
            self._came.wait_for(lambda: target in self._closes, DEADLINE)
            assert target in self._closes, f"no close frame has come for {target}"
            code, reason = self._closes.pop(target)
            return code, reason

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told = json.loads(line)
            with self._came:
                self._closes[told["target"]] = told["close"]
                self._came.notify_all()

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._listening.join(DEADLINE)
        self.process.stdout.close()


class Client(_Program):
    """A client program: does a job at a time."""

    def __init__(self, command: list[str], environment: Mapping[str, str], scripts: Path) -> None:
        super().__init__([*command, str(scripts)], environment)

    def ask(self, job: Mapping[str, Any]) -> Report:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({**job, "deadline": DEADLINE}) + "\n")
        report: Report = self.hear(START)
        return report


class Browser:
    """A browser whose page asks for jobs.

    Args:
        program: the browser.
        scripts: the file of what is to be said.
    """

    def __init__(self, program: str, scripts: Path) -> None:
        jobs: queue.Queue[Mapping[str, Any] | None] = queue.Queue()
        reports: queue.Queue[Report] = queue.Queue()
        pages = {
            "/": (PROGRAMS / "page.html", "text/html"),
            "/conversation.js": (PROGRAMS / "conversation.js", "text/javascript"),
            "/scripts.json": (scripts, "application/json"),
        }

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path not in pages:
                    self.send_error(404)
                    return
                path, kind = pages[self.path]
                self._answer(path.read_bytes(), kind)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.path == "/report":
                    reports.put(json.loads(body))
                    self._answer(b"", "text/plain")
                elif (job := jobs.get()) is not None:
                    self._answer(json.dumps(job).encode(), "application/json")

            def _answer(self, body: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None: ...

        self._jobs, self._reports = jobs, reports
        self._pages = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._serving = threading.Thread(target=self._pages.serve_forever, daemon=True)
        self._serving.start()
        self._profile = tempfile.TemporaryDirectory(prefix="wsproxy-browser-", ignore_cleanup_errors=True)
        options = ["headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking"]
        options += ["disable-component-update", "disable-sync", "disable-dev-shm-usage", "no-proxy-server"]
        options += [f"user-data-dir={self._profile.name}"]
        url = f"http://127.0.0.1:{self._pages.server_port}/"
        self._process = subprocess.Popen(
            [program, *(f"--{option}" for option in options), url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def ask(self, job: Mapping[str, Any]) -> Report:
        self._jobs.put(job)
        return self._reports.get(timeout=START)

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)  # its own session: the browser is many processes
        self._process.wait()
        self._jobs.put(None)
        self._pages.shutdown()
        self._serving.join(DEADLINE)
        self._pages.server_close()
        self._profile.cleanup()


@contextmanager
def closing(peer: Any) -> Iterator[Any]:
    try:
        yield peer
    finally:
        peer.close()
