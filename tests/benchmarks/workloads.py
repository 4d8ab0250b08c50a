"""The six workloads, as data.

Strategy: a workload is a row of numbers, not code. The load generator knows two shapes only: *windowed* (each stream
keeps `window` frames in flight; a ping-pong is a window of 1) and *paced* (each stream sends `rate` frames a second,
whatever comes back). A frame here is one round trip: two frames for a proxy to forward, one in each direction.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

TEXT_BYTES = 300  # what a chunk of a chat completion weighs
SERIAL_BYTES = 10


@dataclass(frozen=True)
class Workload:
    """`frames` and `warmup` are round trips of one stream; `payload` is bytes; `rate` is frames/s of one stream, 0 = windowed."""

    name: str
    meaning: str
    streams: int
    frames: int
    window: int = 1
    warmup: int = 1
    payload: int = TEXT_BYTES
    binary: bool = False
    rate: int = 0
    pinned: bool = False
    divisible: bool = True  # may a very slow peer be given a part of the frames only?

    @property
    def round_trips(self) -> int:
        return self.streams * self.frames

    @property
    def planned_seconds(self) -> float:
        """How long an open loop lasts by its own clock; 0 for a windowed workload."""
        return self.frames / self.rate if self.rate else 0.0

    def part(self, share: float) -> Workload:
        """The same workload with a share of its frames: for peers that would take minutes. Rates stay comparable."""
        if share >= 1 or not self.divisible:
            return self
        return replace(self, frames=max(self.window, int(self.frames * share)), warmup=max(1, int(self.warmup * share)))


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("latency", "1 stream, strict ping-pong", 1, 20_000, warmup=1_000, pinned=True),
        Workload("paced50", "50 streams at 100 frames/s each, open loop", 50, 500, rate=100, divisible=False),
        Workload("stream50", "50 streams, window 16", 50, 2_000, window=16),
        Workload("flood", "1 stream, window 1,024 (spreads widely: smoke only)", 1, 200_000, window=1_024),
        Workload("bulk", "1 stream of 256 KiB binary frames, window 8; 1 GiB both ways together", 1, 2_048,
                 window=8, warmup=8, payload=256 * 1024, binary=True),
        Workload("conns", "2,000 idle streams, then one frame each", 2_000, 1, warmup=0, divisible=False),
    )
}  # fmt: skip

# Enough to prove that every path works, and no more: seconds for all of them.
SMOKE = {
    "latency": replace(WORKLOADS["latency"], frames=300, warmup=20),
    "paced50": replace(WORKLOADS["paced50"], frames=30),
    "stream50": replace(WORKLOADS["stream50"], frames=48),
    "flood": replace(WORKLOADS["flood"], frames=4_096),
    "bulk": replace(WORKLOADS["bulk"], frames=64),
    "conns": replace(WORKLOADS["conns"], streams=200),
}


def payload_template(workload: Workload, stream_id: str) -> tuple[bytearray, int]:
    """A payload of exactly `workload.payload` bytes and the offset of its serial number (10 digits).

    It names its stream and (once numbered) its place in it, so a frame that is lost, doubled, out of order or in
    the wrong stream is seen. Text is JSON shaped like a chunk of a chat completion.
    """
    if workload.binary:
        block = bytes(range(256)) + stream_id.encode()
        return bytearray((block * (workload.payload // len(block) + 1))[: workload.payload]), 0
    chunk = {
        "serial": "0" * SERIAL_BYTES,
        "id": f"chatcmpl-{stream_id}",
        "object": "chat.completion.chunk",
        "created": 1_730_000_000,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}],
    }
    padding = workload.payload - len(json.dumps(chunk))
    chunk["choices"][0]["delta"]["content"] = ("and so on " * 30)[:padding]  # type: ignore[index]
    text = bytearray(json.dumps(chunk).encode())
    if len(text) != workload.payload:
        raise ValueError(f"stream id {stream_id!r} does not fit in a payload of {workload.payload} bytes")
    return text, text.index(b"0" * SERIAL_BYTES)
