"""The command line as a whole: help, versions, and what it loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

from wsproxy.cli import _COMMANDS

from .command import DEADLINE, SAMPLES, assert_trouble, wsproxy

COMMANDS = tuple(_COMMANDS)
HEAVY = ("aiohttp", "uvloop", "litellm", "rich", "msgpack", "websockets")


def test_help_lists_every_command_and_each_has_help_of_its_own() -> None:
    top = wsproxy("--help")
    assert top.status == 0
    for name in COMMANDS:
        assert f"  {name} " in top.out
        helped = wsproxy(name, "--help")
        assert helped.status == 0
        assert helped.out.startswith(f"Usage: wsproxy {name} ")
        assert "  Examples:\n    " in helped.out, f"{name} has no examples"
    assert wsproxy("--version").out.startswith("wsproxy 0.")


def test_help_fits_80_columns() -> None:
    for command in ([], *([name] for name in COMMANDS)):
        out = wsproxy(*command, "--help", COLUMNS="80").out
        assert max(map(len, out.splitlines())) <= 80, command


def test_help_has_an_example_for_every_task() -> None:
    sections = wsproxy("--help").out.split("\n\n")
    tasks = {section.split(":")[0] for section in sections if "  $ wsproxy " in section}
    assert tasks == {"Record", "Look", "Understand", "Play", "Keep order"}
    assert "Other:" not in wsproxy("--help").out


def test_an_unknown_command_is_one_line() -> None:
    assert_trouble(wsproxy("shwo"), "No such command 'shwo'")


def test_options_can_come_from_the_environment() -> None:
    done = wsproxy("record", WSPROXY_RECORD_UPSTREAM="nonsense://x")
    assert_trouble(done, "nonsense://x", "ws://")


def test_help_loads_nothing_that_it_does_not_need() -> None:
    code = (
        "import sys, wsproxy.cli\n"
        "try:\n    wsproxy.cli.main(['--help'])\n"
        "except SystemExit:\n    pass\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE, check=True)
    assert done.stderr.split() == []


# What a command that only reads has no use for: servers and clients, other processes, tests, and what they bring along.
NOT_READING = (
    *(
        "aiohttp",
        "asyncio",
        "uvloop",
        "litellm",
        "h11",
        "ssl",
        "multiprocessing",
        "hypothesis",
        "pytest",
        "difflib",
        "unittest",
    ),
    *(
        "wsproxy.relay",
        "wsproxy.replay",
        "wsproxy.demo",
        "wsproxy.doctor",
        "wsproxy.hooks",
        "rich.progress",
        "click.shell_completion",
    ),
)
NOT_MASKING = ("websockets", "importlib.metadata", "email", "zipfile", "socket", "tempfile")
SMALL = str(SAMPLES / "allowed.msgpack")
LOADS_NOTHING_OF = {
    "ls": (["ls", str(SAMPLES)], (*NOT_READING, *NOT_MASKING, "wsproxy.analysis.diff", "wsproxy.analysis.diagnose")),
    "show": (["show", SMALL], (*NOT_READING, *NOT_MASKING, "wsproxy.analysis.diff", "wsproxy.analysis.diagnose")),
    "trace": (["trace", SMALL], (*NOT_READING, *NOT_MASKING, "wsproxy.analysis.diff", "wsproxy.analysis.diagnose")),
    "diagnose": (["diagnose", SMALL], (*NOT_READING, *NOT_MASKING, "wsproxy.analysis.diff", "wsproxy.analysis.trace")),
    "diff": (["diff", SMALL, SMALL], (*NOT_READING, "websockets", "importlib.metadata", "zipfile")),
    "verify": (["verify", SMALL], (*NOT_READING, "wsproxy.analysis.diff", "wsproxy.analysis.diagnose")),
}


@pytest.mark.parametrize("name", LOADS_NOTHING_OF)
def test_a_command_loads_nothing_that_it_does_not_use(name: str) -> None:
    args, unused = LOADS_NOTHING_OF[name]
    code = (
        "import sys, wsproxy.cli\n"
        f"try:\n    wsproxy.cli.main({args!r})\n"
        "except SystemExit:\n    pass\n"
        f"print(*[name for name in {unused!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE, check=True)
    assert done.stdout
    assert done.stderr.split() == []


def test_importing_the_package_loads_no_dependency() -> None:
    code = f"import sys, wsproxy; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE, check=True)
    assert done.stdout.split() == []
