"""What a diagnosis can find: a table of causes, and the finding that names one with its chunk, its milliseconds and its evidence.

Strategy: a cause is a row of `CAUSES`: how bad it is, what it is called when many recordings are summed up, and what to try. Its place in the
table is its rank: of two findings of one severity the upper one is the answer. Codes are stable; programs may rely on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from ...secrets.masking import mask_text

LOST, DAMAGED, UNSURE, WARNING, NOTE = "lost", "damaged", "unsure", "warning", "note"
SEVERITIES = (LOST, DAMAGED, UNSURE, WARNING, NOTE)

_WAIT = (
    "let the callback send END first and go on receiving until the control plane's END (or a deadline above the "
    "policy's slowest answer), instead of taking a short silence for the end"
)
_HOOKS = (
    "the control plane's log around this time; instrument_policy_stream at the policy's call site "
    "shows what it took and gave"
)


class Cause(NamedTuple):
    """How bad, what it is called, what to try."""

    severity: str
    title: str
    advice: str


CAUSES: dict[str, Cause] = {
    # never opened
    "connection-refused": Cause(
        LOST,
        "the relay could not reach the control plane",
        (
            "start the control plane, or correct --upstream; until it answers, the callback lets everything "
            "through unfiltered"
        ),
    ),
    "handshake-refused": Cause(
        LOST,
        "the control plane refused the WebSocket handshake",
        (
            "look at the route /stream/{id} and at the authentication of the control plane; the callback "
            "lets everything through unfiltered"
        ),
    ),
    "handshake-unanswered": Cause(
        LOST,
        "the control plane never answered the WebSocket handshake",
        "see whether the control plane's event loop is blocked; the callback lets everything through unfiltered",
    ),
    "never-opened": Cause(
        LOST,
        "no connection was ever opened",
        "compare CONTROL_PLANE_URL in the callback's environment with the relay's --listen address",
    ),
    "start-refused": Cause(
        LOST,
        "the control plane refused the start (1002)",
        "the first message must be START; look at what the callback sends first",
    ),
    "start-missing": Cause(
        LOST,
        "the stream was opened and START never sent",
        "look at the callback between connect() and its first send: building or serialising START may have raised",
    ),
    # nobody there
    "peer-vanished": Cause(
        LOST,
        "one side vanished without a word",
        (
            "look at its machine and at the network between; a process that dies says FIN or reset, a machine or a cable that "
            "is gone says nothing. How soon the relay notices is its --keepalive"
        ),
    ),
    "server-silent": Cause(
        LOST,
        "the control plane took the stream and never said a thing",
        "see whether the control plane's process hangs, or its event loop is blocked: it did not even answer pings or a close",
    ),
    # the control plane
    "policy-raised": Cause(
        LOST,
        "the policy or the endpoint raised",
        "mend the exception; decide in the endpoint what the client gets when a policy fails",
    ),
    "error-sent": Cause(LOST, "an ERROR was sent", "read the error; the control plane's log has its traceback"),
    "callback-failed": Cause(LOST, "the callback raised", "mend the exception in the callback"),
    # too late
    "too-late-never-sent": Cause(LOST, "the client had stopped listening before the policy decided", _WAIT),
    "too-late-on-wire": Cause(LOST, "the answer was on the wire after the client had closed", _WAIT),
    "arrived-not-read": Cause(LOST, "the answer was on the wire in time, and the client had stopped reading", _WAIT),
    "policy-swallowed": Cause(
        LOST,
        "the policy took the chunks, ended, and put nothing out",
        "a policy that decides nothing must still pass on what it was given; look at its last branch",
    ),
    "policy-hung": Cause(LOST, "the policy was silent while it owed an answer", _HOOKS),
    "unanswered-at-close": Cause(LOST, "the client closed before the control plane had answered", _WAIT),
    # on the way
    "chunk-not-forwarded": Cause(
        LOST,
        "a backend chunk was not forwarded",
        "look at the callback's loop over the backend's response: what it skips, filters or fails to serialise",
    ),
    "not-read-by-endpoint": Cause(
        LOST,
        "a forwarded chunk was not read by the endpoint",
        "look at the endpoint's receive loop: is it still reading while the policy works?",
    ),
    "not-read-by-policy": Cause(
        LOST,
        "a chunk was read by the endpoint and never reached the policy",
        "look at what stands between the endpoint's receive loop and the policy: queue, filter, task",
    ),
    "not-sent-by-endpoint": Cause(
        LOST,
        "the policy put a chunk out and the endpoint did not send it",
        "look at the endpoint's loop over the policy's chunks",
    ),
    "sent-not-on-wire": Cause(
        LOST,
        "the endpoint says that it sent a chunk, and it was never on the wire",
        "look at errors that the endpoint's send swallows; 'sent' in its log means only that send() was called",
    ),
    "undelivered": Cause(
        LOST,
        "the last bytes were not taken by the receiver",
        "see why the receiver closed or reset its socket while data was on its way",
    ),
    "delivered-not-consumed": Cause(
        LOST,
        "a chunk arrived in time and the callback never took it",
        "look at how the callback polls: a cancelled receive may drop what it had in hand; poll until nothing is left",
    ),
    "not-received": Cause(
        LOST, "a chunk was sent and never received", "record through the relay: the wire tells whether it was on it"
    ),
    "failed-validation": Cause(
        LOST,
        "a chunk failed the client's validation",
        "let the policy copy id, object, created, model and choices from a chunk that it was given",
    ),
    "not-yielded": Cause(
        LOST,
        "a chunk was taken by the callback and not handed to the client",
        "look at the callback between validation and yield",
    ),
    "not-json": Cause(LOST, "a message was not JSON", "both sides speak one JSON object per text message"),
    "send-after-close": Cause(
        WARNING, "something was sent after the peer's close frame", "check for the peer's close before sending"
    ),
    # endings
    "closed-by-server": Cause(
        LOST,
        "the control plane closed before it had answered",
        (
            "the close code says why: 1009 is a message too big, 1011 an internal error or an unanswered "
            "ping, 1012 a restart"
        ),
    ),
    "abnormal-close": Cause(
        LOST,
        "the connection ended without a close frame",
        "see which process went away; a reset is a crash, a kill or a timeout of something in between",
    ),
    "relay-stopped": Cause(
        LOST, "the relay stopped while the stream was running", "give the relay a longer --grace, and stop it last"
    ),
    "duplicated": Cause(
        DAMAGED, "a chunk came twice", "look for a retry, or for two loops over one stream, at this stage"
    ),
    "reordered": Cause(
        DAMAGED,
        "chunks came in another order",
        "look for tasks that send concurrently at this stage; one task per stream keeps the order",
    ),
    # what cannot be told
    "recorder-gap": Cause(
        UNSURE, "the recorder lost events", "see the disk; what passed unrecorded was forwarded all the same"
    ),
    "end-unknown": Cause(
        UNSURE,
        "the end of the stream was not seen",
        "record through the relay, or mark the callback with instrument_callback: callback.completed tells the end",
    ),
    "unreadable": Cause(UNSURE, "messages cannot be read", "'wsproxy show' says why at each of them"),
    "recording-cut": Cause(
        UNSURE,
        "the recording ends before the stream",
        "the relay was killed, or the file was copied while it was written",
    ),
    # worth knowing
    "client-left": Cause(
        WARNING, "the client left first", "nothing to mend here: whoever asked wanted no more, or timed out"
    ),
    "end-missing": Cause(
        WARNING, "the callback waited for an END that never came", "let the endpoint send END in a finally block"
    ),
    "stall": Cause(WARNING, "a long silence", "see what the side whose turn it was did in that time"),
    "abnormal-end": Cause(
        WARNING, "the connection ended without a close frame, with nothing lost", "close with 1000 on both sides"
    ),
    "hook-failed": Cause(WARNING, "an HTTP hook failed", "see the control plane's log for this hook"),
    "json-error": Cause(WARNING, "a hook met a message that is not JSON", "see the raw data in the marker"),
    "markers-dropped": Cause(
        WARNING, "hooks dropped markers", "the relay was away or slow; frames are complete all the same"
    ),
    "slow-network": Cause(
        NOTE,
        "the network is slow, or loses packets",
        "every question and answer waits for it: deadlines must be longer than the policy's slowest answer and a few round trips",
    ),
    "still-open": Cause(NOTE, "the stream is still running", "diagnose it again when it has ended"),
    "not-through-relay": Cause(
        NOTE,
        "the stream did not run through this relay",
        "point CONTROL_PLANE_URL at the relay, and frames will be seen too",
    ),
    "frames-alone": Cause(NOTE, "followed as far as the wire", ""),
    "policy-buffered": Cause(
        NOTE,
        "the policy held chunks back",
        "by design, if it has to see a whole tool call; a client must wait for at least as long",
    ),
    "policy-stopped": Cause(
        WARNING,
        "the control plane ended before it had answered the last chunks",
        "by design, if the policy may cut a stream short; the client sees no finish_reason then",
    ),
    "policy-dropped": Cause(NOTE, "the policy passed over chunks", "by design, if it filters"),
    "blocked": Cause(NOTE, "blocked on purpose, and delivered", ""),
    "not-pipeline": Cause(
        NOTE, "a WebSocket that does not speak the pipeline's messages", "'wsproxy show' has its frames"
    ),
    "no-stream": Cause(NOTE, "no stream in it", "'wsproxy show' has its HTTP exchanges"),
}
_RANK = {code: rank for rank, code in enumerate(CAUSES)}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    `sentence` says it in plain English; `stage` is where, `chunk` the number of the upstream chunk (from 0) or None, `ms` the milliseconds that
    matter (too late, waited, silent), `evidence` the events that prove it, by number; `unknown` what could not be known, and which hook
    would tell.
    """

    code: str
    severity: str
    sentence: str
    stage: str | None = None
    chunk: int | None = None
    ms: float | None = None
    evidence: tuple[int, ...] = ()
    unknown: str | None = None

    @property
    def cause(self) -> Cause:
        return CAUSES[self.code]

    @property
    def rank(self) -> tuple[int, int]:
        return SEVERITIES.index(self.severity), _RANK[self.code]

    def to_json(self) -> dict[str, Any]:
        """The finding for programs; `ms` in milliseconds, evidence as event numbers."""
        return {
            "code": self.code,
            "severity": self.severity,
            "sentence": self.sentence,
            "stage": self.stage,
            "chunk": self.chunk,
            "ms": None if self.ms is None else round(self.ms, 3),
            "evidence": list(self.evidence),
            "advice": self.cause.advice,
            "unknown": self.unknown,
        }


def finding(
    code: str,
    sentence: str,
    *,
    stage: str | None = None,
    chunk: int | None = None,
    ms: float | None = None,
    evidence: tuple[int, ...] = (),
    unknown: str | None = None,
    severity: str | None = None,
) -> Finding:
    """A finding with the severity of its cause, its evidence in order and without repeats, and no secret in its sentence."""
    numbers = tuple(sorted({number for number in evidence if number > 0}))
    return Finding(code, severity or CAUSES[code].severity, mask_text(sentence), stage, chunk, ms, numbers, unknown)


def span(ns: float) -> str:
    """A duration in the unit in which the pipeline's times are spoken of: 0.4 ms, 105 ms, 30.0 s."""
    ms = abs(ns) / 1e6
    return f"{ms:.1f} ms" if ms < 9.95 else f"{ms:.0f} ms" if ms < 9_999.5 else f"{ms / 1000:.1f} s"


def instant(t: int) -> str:
    """A time as `wsproxy show` prints it."""
    return f"{t / 1e9:.4f} s"


def chunks(number: int) -> str:
    return f"{number:,} chunk{'' if number == 1 else 's'}"
