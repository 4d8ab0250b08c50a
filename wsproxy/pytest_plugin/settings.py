"""What a test asks of its cassette: the markers from the module inwards, then the mode, from the strongest who has one to the weakest.

The mode: `--wsproxy-cassettes`, the environment's WSPROXY_CASSETTES, the marker, the ini file's `wsproxy_cassettes`; else `none` in CI and
`once` elsewhere.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeAlias, get_args

import pytest

Mode: TypeAlias = Literal["once", "none", "all", "new"]
Match: TypeAlias = Literal["strict", "shape", "none"]
PaceName: TypeAlias = Literal["max", "recorded"]
ENVIRONMENT = "WSPROXY_CASSETTES"
_FALSE = ("", "0", "false", "no", "off")
_LONGEST = 100  # characters of a file name
_PLAIN = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.]*[A-Za-z0-9_])?(\[[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\])?")


@dataclass(frozen=True, slots=True)
class Settings:
    """What is recorded or played for one test.

    Attributes:
        test: its node id.
        root: what paths are shown relative to.
        folder: where its cassettes are; `name` is the first one's name there.
        mode: what is done; `because` says who wants that.
        upstream: the real server, where no other is named.
        match: how closely what the client says is compared; `ignore` are JSON fields that may differ.
        pace: "max" plays without the recorded pauses.
        strict: what is left unplayed is a failure.
        redact: no credentials in the cassette.
        timeout: seconds of a client's silence, beside those of the recording, after which it is given up.
    """

    test: str
    root: Path
    folder: Path
    name: str
    mode: Mode
    because: str
    upstream: str | None = None
    match: Match = "shape"
    ignore: tuple[str, ...] = ()
    pace: PaceName = "max"
    strict: bool = False
    redact: bool = True
    timeout: float = 10.0


def fail(message: str) -> NoReturn:
    """Fail the test with a message for a person, and nothing of our insides."""
    pytest.fail(message, pytrace=False)


def settings_of(node: pytest.Item, config: pytest.Config) -> Settings:
    """The settings of a test. Fails it where they make no sense."""
    asked: dict[str, Any] = {}
    for marker in reversed(list(node.iter_markers("wsproxy_cassette"))):  # the closest comes first, and is to win
        if len(marker.args) > 1:
            fail(f"@pytest.mark.wsproxy_cassette takes one upstream; name the rest: {_usage()}")
        asked |= marker.kwargs
        if marker.args:
            asked["upstream"] = marker.args[0]
    for key, value in asked.items():
        if key not in _CHECKS:
            fail(f"@pytest.mark.wsproxy_cassette({key}=...): no such setting; there are {_usage()}")
        check, wanted = _CHECKS[key]
        if not check(value):
            fail(f"@pytest.mark.wsproxy_cassette({key}={value!r}): not {wanted}")
    if "ignore" in asked:
        asked["ignore"] = tuple(asked["ignore"])
    name = asked.pop("name", None) or _words(node)
    mode, because = next(_modes(config, asked.pop("mode", None)))
    folder = node.path.parent / "cassettes" / node.path.stem
    return Settings(node.nodeid, config.rootpath, folder, file_name(name), mode, because, **asked)


def file_name(words: str) -> str:
    """Words as a file name. Words that differ give names that differ."""
    kept = re.sub(r"[^A-Za-z0-9._-]+", "-", words).strip("-.")[:_LONGEST]
    if _PLAIN.fullmatch(words) and len(words) <= _LONGEST:
        return kept
    digest = hashlib.sha256(words.encode("utf-8", "backslashreplace")).hexdigest()[:8]
    return f"{kept}-{digest}" if kept else digest


def _words(node: pytest.Item) -> str:
    """The test's name in its module, with its class and its parameters."""
    return node.nodeid.split("::", 1)[-1].replace("::", ".") if "::" in node.nodeid else node.name


def _modes(config: pytest.Config, marked: Mode | None) -> Iterator[tuple[Mode, str]]:
    """Who says which mode, the strongest first."""
    option = config.getoption("--wsproxy-cassettes")
    if option:
        yield option, f"--wsproxy-cassettes={option}"
    said = os.environ.get(ENVIRONMENT, "")
    if said:
        yield _mode(said, ENVIRONMENT), f"{ENVIRONMENT}={said}"
    if marked:
        yield marked, "the marker says so"
    said = config.getini("wsproxy_cassettes")
    if said:
        yield _mode(said, "wsproxy_cassettes"), f"wsproxy_cassettes = {said}"
    if os.environ.get("CI", "").strip().lower() not in _FALSE:
        yield "none", "CI is set"
    yield "once", "the default"


def _mode(said: str, who: str) -> Mode:
    for mode in get_args(Mode):
        if said == mode:
            return mode  # type: ignore[no-any-return]
    fail(f"{who}={said}: not a mode of cassettes; there are {', '.join(get_args(Mode))}")


def _one_of(words: tuple[Any, ...]) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: value in words), f"one of {', '.join(words)}"


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple | set) and all(isinstance(item, str) for item in value)


_BOOLEAN: tuple[Callable[[Any], bool], str] = (lambda value: isinstance(value, bool), "True or False")
_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "upstream": (lambda value: isinstance(value, str), "a URL"),
    "name": (lambda value: isinstance(value, str), "a text"),
    "mode": _one_of(get_args(Mode)),
    "match": _one_of(get_args(Match)),
    "ignore": (_are_texts, "a list of JSON fields"),
    "pace": _one_of(get_args(PaceName)),
    "strict": _BOOLEAN,
    "redact": _BOOLEAN,
    "timeout": (lambda value: isinstance(value, int | float) and value > 0, "seconds"),
}


def _usage() -> str:
    return ", ".join(_CHECKS)
