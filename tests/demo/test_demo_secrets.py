"""The key of the demo's client is in the recording, and not in what the demo prints."""

from __future__ import annotations

from pathlib import Path

from wsproxy.demo.client import CLIENT_KEY

from ..cli.command import wsproxy
from ..secrets.forms import leaks, leaks_in_file


def test_the_demo_prints_no_key(tmp_path: Path) -> None:
    done = wsproxy("demo", "--dir", tmp_path)
    assert done.status == 0, done.err
    assert leaks((done.out + done.err).encode(), [CLIENT_KEY]) == []
    assert any(leaks_in_file(path, [CLIENT_KEY]) for path in tmp_path.iterdir())
