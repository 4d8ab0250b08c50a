"""Replay's reading: any recording becomes scripts, or there is nothing to play."""

from __future__ import annotations

from wsproxy.errors import RecordingError
from wsproxy.replay.reading import read_scenario

from .files import MemoryFile, recording
from .view import TOKENS

__all__ = ["TOKENS", "check"]
_file = MemoryFile()


def check(data: bytes) -> None:
    try:
        scenario = read_scenario(recording(_file, data))
    except RecordingError:
        return
    assert scenario.scripts
    for script in scenario.scripts:
        assert script.delay >= 0
        assert all(step.delay >= 0 for step in script.steps)
