"""What a person reads when a cassette fails a test: the essence in the first line, which pytest's summary shows, and what to do in the last."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from ..replay import Mismatch
from .settings import ENVIRONMENT, Settings


def missing(path: Path, upstream: str, settings: Settings) -> str:
    return (
        f"no cassette {_shown(path, settings)} for {settings.test}, and mode 'none' ({settings.because}) records none.\n"
        f"Record it where {upstream} can be reached, and commit it: {_command(settings, 'once')}"
    )


def unusable(path: Path, why: str, settings: Settings) -> str:
    return (
        f"the cassette {_shown(path, settings)} of {settings.test} cannot be played: {why}.\n"
        f"Restore it, or record it anew: {_command(settings, 'all')}"
    )


def not_writable(path: Path, error: OSError, settings: Settings) -> str:
    return (
        f"cannot write the cassette {_shown(path, settings)} of {settings.test}: {reason(error)}.\n"
        f"Make the folder writable, or record nothing: --wsproxy-cassettes=none, {ENVIRONMENT}=none"
    )


def not_kept(path: Path, why: str, settings: Settings) -> str:
    return f"the cassette {_shown(path, settings)} of {settings.test} was not written: {why}"


def unreachable(upstream: str, why: str, path: Path, settings: Settings) -> str:
    return (
        f"the real server {upstream} was not reached ({why}): start it, or correct the upstream.\n"
        f"{not_kept(path, 'there is nothing to record', settings)}"
    )


def holds_credentials(where: str) -> str:
    return (
        f"a credential could stand in {where}.\n"
        "Cassettes are committed: keep them as they are with @pytest.mark.wsproxy_cassette(redact=False)"
    )


def nothing_recorded(upstream: str) -> str:
    return f"nothing was said to {upstream}: connect to the URL that wsproxy_cassette gives in its place"


def differs(path: Path, mismatches: Iterable[Mismatch], settings: Settings) -> str:
    """The mismatches of one cassette, a line each; credentials masked."""
    lines = []
    for mismatch in mismatches:
        said = mismatch.to_json()
        event = f" (event {said['event']})" if said["event"] else ""
        lines.append(f"{said['place']}, {said['field']}: expected {said['expected']}, got {said['got']}{event}")
    where = f"in the cassette {_shown(path, settings)} of {settings.test}, match={settings.match}."
    return "\n".join([*lines, where, f"If the change is meant, record it anew: {_command(settings, 'all')}"])


def unplayed(path: Path, rest: list[str], settings: Settings) -> str:
    where = f"in the cassette {_shown(path, settings)} of {settings.test}, strict."
    return "\n".join(
        [f"not played: {', '.join(rest)}", where, f"If that is meant, record it anew: {_command(settings, 'all')}"]
    )


def reason(error: OSError) -> str:
    """What the system says."""
    return (error.strerror or str(error)).lower()


def _shown(path: Path, settings: Settings) -> str:
    """A path as short as it can be said."""
    return str(path.relative_to(settings.root)) if path.is_relative_to(settings.root) else str(path)


def _command(settings: Settings, mode: str) -> str:
    """The command that runs this test in a mode."""
    return f"pytest {shlex.quote(settings.test)} --wsproxy-cassettes={mode}"
