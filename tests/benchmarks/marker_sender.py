"""A host that makes so many stage markers a second, through the hooks, until its standard input is closed.

Strategy: the hooks as they are, in a process of its own; it makes what is due every millisecond. Prints a JSON line when it has begun and
another, with how many markers it made, when the last one was delivered.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
import time

from .marks import CHUNK

STAGES = ("callback.backend_chunk", "endpoint.chunk_in", "policy.chunk_in", "policy.chunk_out", "client.to_client")
TICK_SECONDS = 0.001
FLUSH_SECONDS = 30.0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--to", required=True, metavar="URL", help="the relay's control port")
    arguments.add_argument("--rate", type=int, required=True, help="markers a second")
    arguments.add_argument("--streams", required=True, help="their ids, with commas")
    options = arguments.parse_args()
    os.environ["WSPROXY_MARKERS"] = options.to
    from wsproxy.hooks import mark, marks

    streams = options.streams.split(",")
    made = 0
    begin = time.monotonic()
    while made < options.rate // 10 or not select.select([sys.stdin], [], [], TICK_SECONDS)[0]:
        due = int((time.monotonic() - begin) * options.rate)
        for number in range(made, due):
            mark(streams[number % len(streams)], STAGES[number % len(STAGES)], number, CHUNK)
        if made < options.rate // 10 <= due:
            print(json.dumps({"begun": due}), flush=True)
        made = due
        if made < options.rate // 10:
            time.sleep(TICK_SECONDS)
    elapsed = time.monotonic() - begin
    sender = (
        marks._sender
    )  # the one of this process: its end is waited for here, not for the second that an exit may take
    assert sender is not None
    sender.close(FLUSH_SECONDS)
    print(json.dumps({"made": made, "seconds": elapsed}), flush=True)


if __name__ == "__main__":
    main()
