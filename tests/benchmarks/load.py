"""The client in front of every proxy: sends the frames of one workload, checks every payload that comes back, times it.

Strategy: one process, picows under uvloop, no task per stream: a stream's next frame is sent from the callback of its
last. Payloads are numbered in place and compared with memcmp (`bytearray == memoryview`), so checking costs a
microsecond. The parent decides when: after connecting and warming up it prints `{"phase": "ready"}` and waits for a line;
after the last frame came back it prints `{"phase": "done", …result}` and waits again, the connections still open (now the
parent reads CPU and memory); then it closes politely and exits.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from collections import deque
from time import perf_counter_ns
from typing import Any

import uvloop
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from .workloads import SERIAL_BYTES, SMOKE, WORKLOADS, Workload, payload_template

CONNECTING_AT_ONCE = 64
CLOSE_SECONDS = 10
KEPT_UP_SLACK = 1.05  # an open loop that ends later than this times its plan could not keep up


class Stream(WSListener):
    """One connection: sends numbered payloads up to a goal, expects each back in order."""

    def __init__(self, stream_id: str, workload: Workload) -> None:
        self.id = stream_id
        self.workload = workload
        self.kind = WSMsgType.BINARY if workload.binary else WSMsgType.TEXT
        self.outgoing, self.serial_at = payload_template(workload, stream_id)
        self.expected = bytearray(self.outgoing)
        self.sent = self.received = self.wrong = self.goal = 0
        self.sent_at: deque[int] = deque()
        self.round_trips_ns: list[int] = []
        self.partial = b""
        self.pull = True  # send the next when one has come back
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: WSTransport

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def expect(self, more: int, *, pull: bool = True) -> None:
        """Raise the goal by `more` round trips; the first frames are sent by `send`."""
        self.goal += more
        self.pull = pull
        self.finished = asyncio.get_running_loop().create_future()
        if not more:
            self.finished.set_result(None)

    def send(self) -> None:
        at = self.serial_at
        self.outgoing[at : at + SERIAL_BYTES] = b"%010d" % self.sent
        self.sent += 1
        self.sent_at.append(perf_counter_ns())
        self.transport.send(self.kind, self.outgoing)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
            return
        if frame.msg_type in (WSMsgType.PING, WSMsgType.PONG):
            return
        payload: bytes | memoryview = frame.get_payload_as_memoryview()
        if self.partial or not frame.fin:  # some proxies fragment anew
            payload = self.partial = self.partial + bytes(payload)
            if not frame.fin:
                return
            self.partial = b""
        self.round_trips_ns.append(perf_counter_ns() - (self.sent_at.popleft() if self.sent_at else 0))
        at = self.serial_at
        self.expected[at : at + SERIAL_BYTES] = b"%010d" % self.received
        self.wrong += self.expected != payload  # type: ignore[comparison-overlap]
        self.received += 1
        if self.pull and self.sent < self.goal:
            self.send()
        elif self.received == self.goal and not self.finished.done():
            self.finished.set_result(None)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if not self.finished.done():
            story = f"stream {self.id} was cut after {self.received} of {self.goal} frames"
            self.finished.set_exception(ConnectionError(story))


async def windowed(streams: list[Stream], frames: int, window: int) -> None:
    """Each stream keeps `window` frames in flight until `frames` came back. All workloads but paced50."""
    for stream in streams:
        stream.expect(frames)
        for _ in range(min(window, frames)):
            stream.send()
    await asyncio.gather(*(stream.finished for stream in streams))


async def paced(streams: list[Stream], frames: int, rate: int) -> None:
    """Each stream sends `rate` frames a second whatever comes back, streams evenly out of step. Workload paced50.

    The loop's timers tick in milliseconds, so streams due within one millisecond send together, as real ones do.
    """
    loop = asyncio.get_running_loop()
    begin = loop.time() + 0.01

    def tick(stream: Stream, first: float, number: int) -> None:
        stream.send()
        if number + 1 < frames:
            loop.call_at(first + (number + 1) / rate, tick, stream, first, number + 1)

    for place, stream in enumerate(streams):
        stream.expect(frames, pull=False)
        first = begin + place / len(streams) / rate
        loop.call_at(first, tick, stream, first, 0)
    await asyncio.gather(*(stream.finished for stream in streams))


async def connect_all(port: int, workload: Workload, name: str) -> list[Stream]:
    gate = asyncio.Semaphore(CONNECTING_AT_ONCE)

    async def connect(number: int) -> Stream:
        stream = Stream(f"{name}n{number:05d}", workload)
        async with gate:
            url = f"ws://127.0.0.1:{port}/stream/{stream.id}"
            transport, _ = await ws_connect(lambda: stream, url, websocket_handshake_timeout=60)
        if transport.is_disconnected:  # picows reports a cut in the handshake as a connection
            raise ConnectionError(f"stream {stream.id} was cut in the handshake")
        return stream

    return list(await asyncio.gather(*(connect(number) for number in range(workload.streams))))


async def close_all(streams: list[Stream]) -> None:
    for stream in streams:
        stream.transport.send_close(WSCloseCode.OK)
    waits = [asyncio.ensure_future(stream.transport.wait_disconnected()) for stream in streams]
    _, late = await asyncio.wait(waits, timeout=CLOSE_SECONDS)
    for stream in streams:
        stream.transport.disconnect(graceful=False)
    for wait in late:
        wait.cancel()


def summary(streams: list[Stream], workload: Workload, elapsed: float, errors: list[str]) -> dict[str, Any]:
    """The result as the parent reads it: times in µs, rates per second and both ways, what was sent by each stream."""
    times = sorted(time for stream in streams for time in stream.round_trips_ns)
    wrong = sum(stream.wrong for stream in streams)
    missing = sum(stream.sent - stream.received for stream in streams)
    if wrong:
        errors.append(f"{wrong} payloads came back changed or out of order")
    if missing:
        errors.append(f"{missing} payloads did not come back")
    if len(times) != workload.round_trips:
        errors.append(f"{len(times)} of {workload.round_trips} measured round trips were made")
    times = times or [0]  # nobody reads the times of a run with errors
    plan = workload.planned_seconds
    return {
        "elapsed_s": elapsed,
        "round_trips": len(times),
        "rtt_p50_us": times[len(times) // 2] / 1e3,
        "rtt_p99_us": times[int(len(times) * 0.99)] / 1e3,
        "rtt_mean_us": sum(times) / len(times) / 1e3,
        "frames_s": 2 * len(times) / elapsed,
        "mb_s": 2 * len(times) * workload.payload / elapsed / 1e6,
        "kept_up": not plan or elapsed <= plan * KEPT_UP_SLACK + 0.1,
        "sent": {stream.id: stream.sent for stream in streams},
        "errors": errors,
    }


def tell(message: dict[str, Any]) -> None:
    """One line to the parent, then wait for its line."""
    print(json.dumps(message), flush=True)
    sys.stdin.readline()


async def run(port: int, workload: Workload, name: str, limit: float) -> bool:
    errors: list[str] = []
    streams: list[Stream] = []
    try:
        async with asyncio.timeout(limit):
            streams = await connect_all(port, workload, name)
            await windowed(streams, workload.warmup, workload.window)
    except TimeoutError:
        errors.append(f"no connection, or no warm-up frame, for {limit:g} s")
    except Exception as exc:  # whatever a proxy makes of the handshake: it is the result
        errors.append(f"before the first measured frame: {type(exc).__name__}: {exc}")
    for stream in streams:
        stream.round_trips_ns.clear()
    tell({"phase": "ready"})
    begin = perf_counter_ns()
    try:
        async with asyncio.timeout(limit):
            if not errors and workload.rate:
                await paced(streams, workload.frames, workload.rate)
            elif not errors:
                await windowed(streams, workload.frames, workload.window)
    except TimeoutError:
        errors.append(f"not finished after {limit:g} s")
    except ConnectionError as exc:
        errors.append(str(exc))
    elapsed = (perf_counter_ns() - begin) / 1e9
    tell({"phase": "done", **summary(streams, workload, elapsed, errors)})
    await close_all(streams)
    return not errors


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--workload", choices=WORKLOADS, required=True)
    arguments.add_argument("--name", default="load", help="prefix of the stream ids")
    arguments.add_argument("--share", type=float, default=1.0, help="part of the frames to send")
    arguments.add_argument("--limit", type=float, default=120.0, help="seconds after which it gives up")
    arguments.add_argument("--smoke", action="store_true")
    options = arguments.parse_args()
    gc.disable()
    workload = (SMOKE if options.smoke else WORKLOADS)[options.workload].part(options.share)
    return 0 if uvloop.run(run(options.port, workload, options.name, options.limit)) else 1


if __name__ == "__main__":
    sys.exit(main())
