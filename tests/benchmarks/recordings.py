"""Is the recording whole? After a run, wsproxy's own proof and an independent count.

Strategy: one recording per stream is demanded; `wsproxy verify` must accept them; and the data frames of each, read
through the public API, must be as many in each direction as the load generator sent. Many recordings are sampled.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from .peers import ROOT

SAMPLE = 60
DATA_OPCODES = {0, 1, 2}  # continuation, text, binary


def check(folder: Path, sent: Mapping[str, int]) -> list[str]:
    """What is wrong with the recordings in `folder` of streams that sent `sent[stream id]` frames each, all echoed."""
    found = sorted(folder.glob("*.msgpack"))
    by_stream = {stream: [path for path in found if path.stem.endswith(f"-{stream}")] for stream in sent}
    problems = []
    if len(found) != len(sent):
        problems.append(f"{len(found)} recordings of {len(sent)} streams")
    if wrong := [stream for stream, paths in by_stream.items() if len(paths) != 1]:
        problems.append(f"{len(wrong)} streams have not exactly one recording, such as {wrong[0]}")
    whole = [stream for stream, paths in by_stream.items() if len(paths) == 1]
    sample = random.Random(0).sample(whole, min(SAMPLE, len(whole)))
    if sample:
        problems += unverified([by_stream[stream][0] for stream in sample])
    expected = {stream: {"c2s": sent[stream], "s2c": sent[stream]} for stream in sample}
    counts = {stream: data_frames(by_stream[stream][0]) for stream in sample}
    if wrong := [stream for stream in sample if counts[stream] != expected[stream]]:
        held, due = counts[wrong[0]], expected[wrong[0]]
        problems.append(f"{len(wrong)} recordings miscount: {wrong[0]} holds {held} data frames, not {due}")
    return problems


def data_frames(recording: Path) -> dict[str, int]:
    """How many data frames each direction of a recording has."""
    import wsproxy  # not needed when wsproxy is not among the peers

    counts = Counter({"c2s": 0, "s2c": 0})
    for frame in wsproxy.open(recording).frames():
        if frame.opcode in DATA_OPCODES:
            counts[str(frame.dir)] += 1
    return dict(counts)


def unverified(recordings: list[Path]) -> list[str]:
    command = [sys.executable, "-m", "wsproxy", "verify", *map(str, recordings)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    if done.returncode == 0:
        return []
    printed = " | ".join((done.stdout + done.stderr).strip().splitlines()[-3:])
    return [f"wsproxy verify of {len(recordings)} recordings ended with {done.returncode}: {printed}"]
