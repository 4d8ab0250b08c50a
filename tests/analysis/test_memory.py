"""What analysis keeps of a long recording: some numbers for each place where a chunk was seen, and no object of its own."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks.long_recordings import write
from wsproxy.analysis.diagnose import diagnose
from wsproxy.analysis.diff import side
from wsproxy.analysis.diff.compare import diff
from wsproxy.analysis.journey.sightings import Sighting, Sightings
from wsproxy.analysis.trace import trace
from wsproxy.recording.reader import Recording

EVENTS = 5_000
SHAPES = ("every stage marked", "frames alone, not compressed")


def peak(path: Path, call: Callable[[Recording], object]) -> int:
    """Bytes that were allocated at once while a recording was read and judged."""
    tracemalloc.start()
    try:
        call(Recording(path))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("call", [diagnose, trace])
def test_each_place_where_a_chunk_was_seen_costs_some_numbers(
    tmp_path: Path, shape: str, call: Callable[[Recording], object]
) -> None:
    peaks = []
    for events in (EVENTS, 2 * EVENTS):
        path = tmp_path / f"{events}.msgpack"
        write(path, shape, events)
        peaks.append(peak(path, call))
    each = (peaks[1] - peaks[0]) / EVENTS
    assert each < 180  # a tuple and its numbers would be 230, and there are several passes


def test_a_message_of_a_diff_costs_an_entry_and_half_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side, "KEPT", 0)  # contents are bounded
    peaks = []
    for events in (EVENTS, 2 * EVENTS):
        path = tmp_path / f"{events}.msgpack"
        write(path, "frames alone, not compressed", events)
        peaks.append(peak(path, lambda recording: diff(recording, recording)))
    each = (peaks[1] - peaks[0]) / EVENTS / 2
    assert each < 560  # masked keys in dicts of tuples, and matches kept beside their rows, would be 960


def test_a_sighting_comes_out_of_the_columns_as_it_went_in() -> None:
    here = [
        Sighting(5, 1, -(2**63), 255, None, 0),
        Sighting(0, 2, 2**63 - 1, 0, 0, 7),
        Sighting(-3, 3, 0, 128, 2**40, 2**40),
    ]
    assert list(Sightings(here)) == here
    assert Sightings(here)[-1] == here[-1]
    assert list(Sightings(here)[::2]) == here[::2]
    assert list(Sightings(here).in_time_order()) == sorted(here)


def test_times_of_a_stranger_that_fit_nowhere_become_the_largest_that_do() -> None:
    [seen] = Sightings([Sighting(2**70, 1, 1, 0, -(2**80), 2**64)])
    assert (seen.t, seen.index, seen.error_ns) == (2**63 - 1, -(2**63 - 1), 2**63 - 1)
