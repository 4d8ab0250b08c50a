"""Recordings whose contents are too large to be kept are compared all the same, and read a few times, not once per message."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from wsproxy.analysis.diff import side
from wsproxy.analysis.diff.compare import diff
from wsproxy.recording.events import Event
from wsproxy.recording.reader import Recording

SAMPLES = Path(__file__).parents[3] / "recordings" / "samples"
READINGS = 8  # of one recording: twice for its entries, once for what is shown, and what diagnose and trace need


class Counted(Recording):
    """Counts how often it is read."""

    readings = 0

    def events(self, **options: object) -> Iterator[Event]:
        self.readings += 1
        return super().events(**options)  # type: ignore[arg-type]


def opened(name: str) -> Counted:
    return Counted(SAMPLES / f"{name}.msgpack")


@pytest.mark.parametrize("kept", [0, 20_000])
def test_what_is_not_kept_is_compared_by_digests_and_keys(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side, "KEPT", kept)
    a, b = opened("long-compressed"), opened("long-compressed")
    assert diff(a, b).same
    assert max(a.readings, b.readings) <= READINGS


@pytest.mark.parametrize("kept", [0, 20_000])
def test_what_differs_is_found_in_a_few_readings(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = diff(opened("blocked-delivered"), opened("blocked-lost"))
    monkeypatch.setattr(side, "KEPT", kept)
    a, b = opened("blocked-delivered"), opened("blocked-lost")
    made = diff(a, b)
    assert max(a.readings, b.readings) <= READINGS
    assert made.coarse and made.exit_status == 1
    assert made.essence.split(" (A:")[0] == whole.essence.split(" (A:")[0]
    lost = {row.entry.number for row in whole.differences if row.op == "removed"}
    assert lost <= {row.entry.number for row in made.differences if row.op == "removed"}
