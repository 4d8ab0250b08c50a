"""What both sides of a replay can be asked for, and a recording made ready to be played so.

Strategy: the options are one frozen record, checked before anything is opened; `prepare` reads recordings and applies the edits to the
side that is played, so that a selector that chooses nothing anywhere is told before the first byte is sent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ..errors import RecordingError
from ..recording.folder import recordings as in_folder
from ..recording.reader import Recording
from ..wire.events import C2S, Dir
from . import pacing
from .matching import Match
from .pacing import Pace
from .problems import ReplayError
from .reading import read_scenario
from .report import Mismatch
from .script import Scenario
from .whatif import Edit, apply

Source: TypeAlias = "str | os.PathLike[str] | Recording"


@dataclass(frozen=True, slots=True)
class Options:
    """What a replay is asked for.

    Attributes:
        pace: of the recorded pauses.
        edits: what-ifs, applied in order to the side that is played.
        match: how closely the other side is compared.
        ignore: JSON fields that may differ, by name or dotted path.
        record: folder for the new recordings; None for none.
        timeout: seconds of silence, beside the recorded pause, after which a peer that owes something is given up; None waits.
        on_mismatch: called with each difference as it is found.
    """

    pace: Pace = pacing.recorded
    edits: tuple[Edit, ...] = ()
    match: Match = "shape"
    ignore: tuple[str, ...] = ()
    record: Path | None = None
    timeout: float | None = None
    on_mismatch: Callable[[Mismatch], None] | None = None


def open_sources(sources: Source | Iterable[Source]) -> list[Recording]:
    """The recordings of paths, folders and recordings, in their order; a folder's oldest first.

    Raises:
        RecordingError: one is not there, or no recording.
    """
    if isinstance(sources, str | os.PathLike | Recording):
        sources = [sources]
    found: list[Recording] = []
    for source in sources:
        if isinstance(source, Recording):
            found.append(source)
        elif Path(source).is_dir():
            found += [Recording(path) for path in in_folder(source)]
        else:
            found.append(Recording(source))
    if not found:
        raise ReplayError("no recording to play: the folder is empty")
    return found


def prepare(recordings: list[Recording], dir: Dir, edits: tuple[Edit, ...]) -> tuple[list[Scenario], list[str]]:
    """Read recordings and edit what their `dir` side says.

    Returns:
        What there is to play, and notes about what there is not.

    Raises:
        RecordingError: nothing to play in any of them.
        ReplayError: an edit that touches nothing.
    """
    scenarios: list[Scenario] = []
    notes: list[str] = []
    failed: RecordingError | None = None
    for recording in recordings:
        try:
            scenario = read_scenario(recording)
        except RecordingError as error:
            failed = failed or error
            notes.append(str(error))
            continue
        scenarios.append(scenario)
        notes += [f"{scenario.name}: {note}" for note in scenario.notes]
    if failed is not None and not scenarios:
        raise failed
    touched = [0] * len(edits)
    for scenario in scenarios:
        for script in scenario.scripts:
            if script.upgrade is not None:
                for n, count in enumerate(apply(script, dir, edits, scenario.markers)):
                    touched[n] += count
    who = "client" if dir == C2S else "server"
    for edit, count in zip(edits, touched, strict=True):
        if not count:
            why = f"nothing that the {who} says is changed by that; 'wsproxy show' shows what it says"
            raise ReplayError(f"{edit.text}: {why}")
    return scenarios, notes
