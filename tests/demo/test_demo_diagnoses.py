"""Every fault in the real processes gets the diagnosis that it deserves: from frames and markers, and from frames alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wsproxy
from wsproxy.analysis.diagnose import Diagnosis, diagnose
from wsproxy.analysis.diagnosis.findings import CAUSES
from wsproxy.demo import faults
from wsproxy.recording.events import Event, Marker
from wsproxy.recording.reader import Recording

from .runs import HEALTHY, Run

FINE = "fine"

WITH_MARKERS = {
    HEALTHY: FINE,
    "no-relay": "never-opened",
    "no-control-plane": "connection-refused",
    "handshake-refused": "handshake-refused",
    "no-start": "start-refused",
    "start-raises": "start-missing",
    "policy-not-loaded": "policy-raised",
    "not-forwarded": "chunk-not-forwarded",
    "not-read": "not-read-by-endpoint",
    "policy-raises": "policy-raised",
    "policy-hangs": "policy-hung",
    "policy-swallows": "policy-swallowed",
    "policy-buffers": FINE,
    "reorder": "reordered",
    "duplicate": "duplicated",
    "slow-judge": "too-late-never-sent",
    "late-frame": "too-late-on-wire",
    "never-polled": "delivered-not-consumed",
    "after-close": "too-late-on-wire",
    "not-sent": "sent-not-on-wire",
    "not-yielded": "not-yielded",
    "bad-chunk": "failed-validation",
    "bad-json": "not-json",
    "error": "policy-raised",
    "missing-end": FINE,
    "early-close": "closed-by-server",
    "abnormal-close": "closed-by-server",
    "reset": "abnormal-close",
    "vanish": "abnormal-close",
    "client-leaves": FINE,
    "stall": FINE,
}
"""The code of the answer."""

FRAMES_ALONE = WITH_MARKERS | {
    "no-relay": "no-stream",
    # Who raised is not on the wire, only that ERROR was sent; and of a silence only that it was one.
    **dict.fromkeys(("policy-not-loaded", "policy-raises", "error"), "error-sent"),
    **dict.fromkeys(("not-read", "policy-hangs", "slow-judge"), "unanswered-at-close"),
    # What never was on a wire, or was lost behind it, no wire tells.
    **dict.fromkeys(("not-forwarded", "not-sent", "not-yielded", "late-frame", "never-polled"), FINE),
}

NOTED = {
    "policy-buffers": "policy-buffered",
    "missing-end": "blocked",
    "client-leaves": "client-left",
    "stall": "stall",
}
"""What is said beside "nothing lost"."""


class Frames(Recording):
    """A recording as it would be without any hook."""

    def events(self, **options: Any) -> Iterator[Event]:
        return (event for event in super().events(**options) if not isinstance(event, Marker))


def answer(diagnosis: Diagnosis) -> str:
    """The code of the finding that the answer is about."""
    return diagnosis.main.code if diagnosis.main else diagnosis.verdict


@pytest.mark.parametrize("fault", WITH_MARKERS)
def test_with_markers_the_answer_names_the_fault(seen: Run, fault: str) -> None:
    diagnosis = diagnose(seen.recording)
    assert answer(diagnosis) == WITH_MARKERS[fault], str(diagnosis)


@pytest.mark.parametrize("fault", FRAMES_ALONE)
def test_with_frames_alone_the_answer_is_what_the_wire_tells(seen: Run, fault: str) -> None:
    diagnosis = diagnose(Frames(seen.recording.path))
    told = {FRAMES_ALONE[fault]}
    if fault == "never-polled":  # a slow client's own END comes behind the control plane's, and gives it away
        told.add("arrived-not-read")
    assert answer(diagnosis) in told, str(diagnosis)


@pytest.mark.parametrize("fault", NOTED)
@pytest.mark.parametrize("kind", [Recording, Frames])
def test_what_lost_nothing_and_is_worth_knowing_is_noted(seen: Run, fault: str, kind: type[Recording]) -> None:
    diagnosis = diagnose(kind(seen.recording.path))
    assert NOTED[fault] in [finding.code for finding in diagnosis.findings]
    assert diagnosis.exit_status == 0


def test_the_table_of_diagnoses_is_of_all_faults_and_of_codes_that_exist() -> None:
    assert list(WITH_MARKERS) == [HEALTHY, *faults.NAMES]
    assert {*WITH_MARKERS.values(), *FRAMES_ALONE.values()} - {FINE} <= set(CAUSES)


def test_the_demo_of_the_famous_bug_ends_with_its_diagnosis(tmp_path: Path) -> None:
    out = tmp_path / "recordings"
    command = [sys.executable, "-m", "wsproxy", "demo", "--fault", "slow-judge", "--dir", str(out)]
    told = subprocess.run(command, capture_output=True, text=True).stdout
    diagnosis = diagnose(wsproxy.open("@last", out))
    assert answer(diagnosis) == "too-late-never-sent"
    assert "too late" in diagnosis.answer and "on no wire" in diagnosis.answer
    assert told.endswith(f"{diagnosis}\n")
