"""What can be made to go wrong in the demo: `wsproxy demo --fault NAME`.

Strategy: this is the table, and nothing but the table. A row says which part injects the fault; that part gets
`--fault NAME` and looks the name up in its own room of `wsproxy.demo.faulty`, where the fault is a small class that takes
the place of a sound one. So the parts themselves hold no trace of faults, and a fault is read in one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from wsproxy.demo import HARMFUL, HARMLESS, LONG

Where = Literal["callback", "endpoint", "policy", "judge", "backend", "client", "network"]
"""Who injects a fault. The proxy runs the callback, the control plane the endpoint and the policy."""


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Args:
        what: what is done, in a line of `--faults`.
        shows: what it makes visible: what the client gets, and what the recording has of it.
        prompt: the question that brings it out.
        judge_delay: seconds that the judge takes meanwhile.
    """

    name: str
    where: Where
    what: str
    shows: str
    prompt: str = HARMLESS
    judge_delay: float = 0.3


FAST: Final = 0.02
"""A judge that is in time, with room to spare."""

TABLE: Final = (
    # never opened
    Fault(
        "no-relay",
        "network",
        "nothing listens where the callback connects: CONTROL_PLANE_URL is wrong",
        "all passes unfiltered; no connection in the recording, only markers",
    ),
    Fault(
        "no-control-plane",
        "network",
        "nothing listens where the relay connects",
        "all passes unfiltered; connection refused, the relay answers 502",
    ),
    Fault(
        "handshake-refused",
        "endpoint",
        "the control plane answers the handshake with 403",
        "all passes unfiltered; a 403 and no WebSocket",
    ),
    Fault(
        "no-start",
        "callback",
        "the callback forgets START: its first message is a CHUNK",
        "the client gets nothing; the control plane closes with 1002",
    ),
    Fault(
        "start-raises",
        "callback",
        "the callback raises before it has sent START",
        "a broken answer; a WebSocket that opens, says nothing and closes",
    ),
    Fault(
        "policy-not-loaded",
        "policy",
        "the control plane cannot load its policy",
        "the client gets nothing; ERROR is the answer to START",
    ),
    # on the way up
    Fault(
        "not-forwarded",
        "callback",
        "the callback loses the third backend chunk",
        "a hole in the text; the chunk is on no wire",
    ),
    Fault(
        "not-read",
        "endpoint",
        "the endpoint takes no chunk after the third",
        "the text breaks off; all chunks are on the wire, no answer to the later ones",
    ),
    # the policy
    Fault(
        "policy-raises",
        "policy",
        "the policy raises after its first chunk",
        "one chunk; the endpoint sends ERROR",
    ),
    Fault(
        "policy-hangs",
        "policy",
        "the policy never comes back from its second chunk",
        "one chunk; silence until the callback gives up",
    ),
    Fault(
        "policy-swallows",
        "policy",
        "the policy consumes everything and puts out nothing",
        "the client gets nothing; END and no chunk",
    ),
    Fault(
        "policy-buffers",
        "policy",
        "the policy holds everything until the last chunk, and is still in time",
        "the whole text, all at once",
    ),
    Fault(
        "reorder",
        "policy",
        "the policy puts out the second and the third chunk in the wrong order",
        "a garbled text",
    ),
    Fault(
        "duplicate",
        "policy",
        "the policy puts out its second chunk twice",
        "a word twice",
    ),
    # too late
    Fault(
        "slow-judge",
        "judge",
        "the judge takes 300 ms: the famous bug",
        "the client gets nothing; the block is on no wire, though the log says 'sent'",
        prompt=HARMFUL,
    ),
    Fault(
        "late-frame",
        "callback",
        "the block arrives after the callback stopped reading and before it closes",
        "the client gets nothing; the block is on the wire, and nobody read it",
        prompt=HARMFUL,
    ),
    Fault(
        "never-polled",
        "callback",
        "the block arrives in time, and the callback never looks at it",
        "the client gets nothing; the block is on the wire, before the end",
        prompt=HARMFUL,
        judge_delay=FAST,
    ),
    Fault(
        "after-close",
        "endpoint",
        "the endpoint reads nothing while the judge thinks, so it sends the block to a peer that has closed",
        "the client gets nothing; the block is on the wire, after the callback's close frame",
        prompt=HARMFUL,
    ),
    # on the way down
    Fault(
        "not-sent",
        "endpoint",
        "the endpoint fails to send its second chunk, and does not notice",
        "a hole in the text; the log says 'sent', and the chunk is on no wire",
    ),
    Fault(
        "not-yielded",
        "callback",
        "the callback takes the second chunk and does not hand it on",
        "a hole in the text; the chunk is on the wire, arrives and is valid",
    ),
    Fault(
        "bad-chunk",
        "endpoint",
        "the second chunk goes out without choices, model and created",
        "a hole in the text; the chunk arrives and fails validation",
    ),
    Fault(
        "bad-json",
        "endpoint",
        "the second chunk goes out as text that is no JSON",
        "a hole in the text; the message arrives and cannot be read",
    ),
    Fault(
        "error",
        "endpoint",
        "the endpoint fails after two chunks and sends ERROR",
        "the text breaks off; ERROR",
    ),
    Fault(
        "missing-end",
        "endpoint",
        "the control plane closes without its END: harmless",
        "the block arrives; close 1000 and no END",
        prompt=HARMFUL,
        judge_delay=FAST,
    ),
    # the connection
    Fault(
        "early-close",
        "endpoint",
        "the control plane closes with 1000 after two chunks",
        "the text breaks off; close 1000 in the middle",
    ),
    Fault(
        "abnormal-close",
        "endpoint",
        "the control plane closes with 1011 after two chunks",
        "the text breaks off; close 1011",
    ),
    Fault(
        "reset",
        "endpoint",
        "the control plane resets the TCP connection after two chunks",
        "the text breaks off; no close frame, a reset",
    ),
    Fault(
        "vanish",
        "endpoint",
        "the control plane closes the TCP connection without a close frame after two chunks",
        "the text breaks off; no close frame, an end of stream",
    ),
    # the ends
    Fault(
        "client-leaves",
        "client",
        "the client disconnects after two chunks",
        "two chunks and no [DONE]; the callback closes without END",
        prompt=LONG,
    ),
    Fault(
        "stall",
        "backend",
        "the backend is silent for two seconds in the middle",
        "the whole text, late; a silence on every wire",
    ),
)

NAMES: Final = tuple(fault.name for fault in TABLE)


def find(name: str) -> Fault:
    """The row of that name. Raises KeyError with the names there are."""
    for fault in TABLE:
        if fault.name == name:
            return fault
    raise KeyError(f"no fault {name!r}; there are {', '.join(NAMES)}")


def injected_by(*where: Where) -> list[str]:
    """The names of the faults that these parts inject."""
    return [fault.name for fault in TABLE if fault.where in where]
