"""`python -m tests.benchmarks.marks`: what a stage marker costs the thread that makes it.

Strategy: a marker is made every few hundred microseconds, as in a host that streams, to a real server that keeps up; the
median is the figure, the tail is there to be seen (it is the machine's more than ours). Times are judged by a reader.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

MARKS = 5_000
PAUSE_SECONDS = 0.0002
DISABLED = 200_000
IMPORTS = 11

CHUNK: dict[str, Any] = {
    "id": "chatcmpl-0123456789abcdef",
    "created": 1_700_000_000,
    "model": "gpt-4o-mini",
    "object": "chat.completion.chunk",
    "system_fingerprint": None,
    "choices": [
        {
            "finish_reason": None,
            "index": 0,
            "delta": {"content": "Hello world", "role": "assistant", "function_call": None, "tool_calls": None},
            "logprobs": None,
        }
    ],
    "provider_specific_fields": None,
    "citations": None,
    "service_tier": None,
}
IMPORT = "import time; t = time.perf_counter(); import wsproxy.hooks; print((time.perf_counter() - t) * 1000)"


class Sink(BaseHTTPRequestHandler):
    """Takes markers and keeps none."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(202)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_GET(self) -> None:  # of the relay's clock
        self.send_error(404)

    def log_message(self, *args: Any) -> None:
        pass


def serve() -> None:
    """The sink, in a process of its own: a host does not share its interpreter with the relay."""
    server = HTTPServer(("127.0.0.1", 0), Sink)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


def timed(work: Callable[[int], None]) -> list[float]:
    """Microseconds of each call, with a pause after each."""
    took: list[float] = []
    for index in range(MARKS):
        began = time.perf_counter_ns()
        work(index)
        took.append((time.perf_counter_ns() - began) / 1000)
        time.sleep(PAUSE_SECONDS)
    return took


def show(what: str, took: list[float]) -> None:
    ordered = sorted(took)
    p99 = ordered[len(ordered) * 99 // 100]
    print(f"{what:<46} median {statistics.median(ordered):7.2f} µs   p99 {p99:8.2f} µs   worst {ordered[-1]:8.0f} µs")


def enabled() -> None:
    from wsproxy.hooks import get_policy_logger, mark

    size = len(json.dumps(CHUNK))
    show(f"a mark with a chunk of {size} bytes", timed(lambda n: mark("stream-id", "policy.chunk_in", n, CHUNK)))
    log = get_policy_logger()
    show("the same through a logger", timed(lambda n: log.log_chunk_in("stream-id", "NoOpPolicy", CHUNK, n)))
    show("a mark without data", timed(lambda n: mark("stream-id", "policy.start", n)))
    heard = logging.getLogger("wsproxy.hooks")
    heard.addHandler(logging.NullHandler())
    heard.setLevel(logging.INFO)
    heard.propagate = False
    show("a mark whose log line is written (to nowhere)", timed(lambda n: mark("s", "policy.chunk_in", n, CHUNK)))


def disabled() -> None:
    from wsproxy.hooks import get_policy_logger, mark

    log = get_policy_logger()
    calls: dict[str, Callable[[], None]] = {
        "a disabled mark": lambda: mark("stream-id", "policy.chunk_in", 1, CHUNK),
        "a disabled logger call": lambda: log.log_chunk_in("stream-id", "NoOpPolicy", CHUNK, 1),
    }
    for what, work in calls.items():
        rounds: list[float] = []
        for _ in range(9):
            began = time.perf_counter_ns()
            for _ in range(DISABLED // 9):
                work()
            rounds.append((time.perf_counter_ns() - began) / 1000 / (DISABLED // 9))
        print(f"{what:<46} median {statistics.median(rounds):7.3f} µs   (of rounds; with the loop and a lambda)")


def importing() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    for what, address in (("", ""), (" with WSPROXY_MARKERS (and http.client)", environment["WSPROXY_MARKERS"])):
        took: list[float] = []
        for _ in range(IMPORTS):
            asked = [sys.executable, "-c", IMPORT]
            done = subprocess.run(
                asked, env=environment | {"WSPROXY_MARKERS": address}, capture_output=True, text=True, check=True
            )
            took.append(float(done.stdout))
        print(f"{'import wsproxy.hooks' + what:<58} median {statistics.median(took):5.1f} ms   best {min(took):.1f} ms")


def main() -> None:
    if os.environ.get("WSPROXY_MARKERS") == "":
        disabled()
        return
    if sys.argv[1:] == ["sink"]:
        serve()
        return
    this = [sys.executable, "-m", "tests.benchmarks.marks"]
    with subprocess.Popen([*this, "sink"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sink:
        assert sink.stdout is not None
        os.environ["WSPROXY_MARKERS"] = sink.stdout.readline().strip()
        enabled()
        sink.terminate()
    sys.stdout.flush()
    # Whether there is a relay is decided once in a process: another one is disabled.
    subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.marks"], env={**os.environ, "WSPROXY_MARKERS": ""}, check=True
    )
    importing()


if __name__ == "__main__":
    main()
