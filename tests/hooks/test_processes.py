"""What only whole processes show: the environment, exits, forks, and what an import loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .collector import Collector

ROOT = Path(__file__).parents[2]


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("WSPROXY_")}
    return subprocess.run(
        [sys.executable, "-c", program],
        env=inherited | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_importing_the_hooks_loads_nothing_heavy_and_starts_nothing() -> None:
    program = """
import sys, threading
import wsproxy.hooks
heavy = "asyncio litellm websockets aiohttp httpx pydantic starlette fastapi http click rich ssl inspect".split()
print([name for name in heavy if name in sys.modules])
print(sorted(name for name in sys.modules if name.startswith("wsproxy.") and not name.startswith("wsproxy.hooks")))
print(threading.active_count())
"""
    assert run(program).stdout.splitlines() == ["[]", "['wsproxy.patterns', 'wsproxy.stages']", "1"]


def test_without_the_environment_variable_nothing_happens() -> None:
    program = """
import logging, threading
logging.basicConfig(level=logging.DEBUG)
from wsproxy.hooks import mark, get_policy_logger
mark("s", "policy.start", 0, {})
get_policy_logger().log_stream_start("s", "P")
print(threading.active_count())
"""
    done = run(program)
    assert (done.stdout, done.stderr, done.returncode) == ("1\n", "", 0)


@pytest.mark.parametrize("address", ["nonsense", "http://host:notaport", "unix:/x"])
def test_an_address_that_is_none_is_said_and_nothing_else_happens(address: str) -> None:
    done = run("from wsproxy.hooks import mark; mark('s', 'policy.start'); print('on')", WSPROXY_MARKERS=address)
    assert done.stdout == "on\n" and done.returncode == 0
    assert "no stage markers" in done.stderr and done.stderr.count("\n") == 1


def test_what_is_queued_at_exit_is_sent(collector: Collector) -> None:
    program = "from wsproxy.hooks import mark\nfor n in range(2000): mark('s', 'policy.chunk_in', n, {'n': n})"
    done = run(program, WSPROXY_MARKERS=collector.url, WSPROXY_TOKEN="secret")
    assert (done.returncode, done.stderr) == (0, "")
    assert [marker["index"] for marker in collector.of("s")] == list(range(2000))
    assert collector.headers[0]["authorization"] == "Bearer secret"


def test_what_is_queued_when_an_exception_ends_the_program_is_sent(collector: Collector) -> None:
    done = run("from wsproxy.hooks import mark; mark('s', 'policy.start'); 1 / 0", WSPROXY_MARKERS=collector.url)
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr
    assert collector.of("s")


def test_an_exit_does_not_wait_for_a_relay_that_does_nothing(collector: Collector) -> None:
    collector.gate.clear()
    program = """
import time
from wsproxy.hooks import mark
mark('s', 'policy.start')
import atexit
atexit.register(lambda: print("exit begins"))
"""
    done = run(program, WSPROXY_MARKERS=collector.url)
    assert (done.stdout, done.stderr, done.returncode) == ("exit begins\n", "", 0)
    assert not collector.markers


def test_a_forked_child_sends_its_own_and_nothing_of_its_parent(collector: Collector) -> None:
    program = """
import os
from wsproxy.hooks import mark
mark('s', 'policy.chunk_in', 0)
children = []
for n in range(1, 4):
    pid = os.fork()
    if pid == 0:
        mark('s', 'policy.chunk_in', n)
        import sys; sys.exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
mark('s', 'policy.chunk_in', 4)
"""
    done = run(program, WSPROXY_MARKERS=collector.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(marker["index"] for marker in collector.of("s")) == [0, 1, 2, 3, 4]
    sources = {marker["index"]: marker["source"] for marker in collector.of("s")}
    assert len(set(sources.values())) == 4 and sources[0] == sources[4]


def test_a_fork_in_the_middle_of_everything_hangs_nobody(collector: Collector) -> None:
    program = """
import os, threading
from wsproxy.hooks import mark
stop = threading.Event()
def work(n):
    while not stop.is_set():
        mark(f'parent{n}', 'my.stage', 0, {'x': 'y' * 300})
threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
for thread in threads: thread.start()
for n in range(10):
    pid = os.fork()
    if pid == 0:
        for m in range(20): mark('child', 'my.stage', m)
        from wsproxy.hooks import marks
        marks._sender.close(10)
        os._exit(0)
    os.waitpid(pid, 0)
stop.set()
for thread in threads: thread.join()
"""
    done = run(program, WSPROXY_MARKERS=collector.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(collector.of("child")) == 200


def test_multiprocessing_workers_send_theirs(collector: Collector) -> None:
    program = """
import multiprocessing
from wsproxy.hooks import mark
def work(n): mark('s', 'policy.chunk_in', n)
context = multiprocessing.get_context("fork")
mark('s', 'policy.chunk_in', 9)
workers = [context.Process(target=work, args=(n,)) for n in range(3)]
for worker in workers: worker.start()
for worker in workers: worker.join()
"""
    done = run(program, WSPROXY_MARKERS=collector.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(marker["index"] for marker in collector.of("s")) == [0, 1, 2, 9]


def test_a_mark_in_the_last_destructors_of_an_interpreter_is_harmless(collector: Collector) -> None:
    program = """
from wsproxy.hooks import mark
class Late:
    def __del__(self): mark('s', 'policy.end', 0, {'late': True})
import builtins
builtins.late = Late()
mark('s', 'policy.start')
"""
    done = run(program, WSPROXY_MARKERS=collector.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert collector.of("s", "policy.start")
