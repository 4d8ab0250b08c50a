"""A script's frames, encoded for whatever was agreed, carry the recorded messages; untouched ones are the recorded bytes."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.relay.raw import frame, upgrade
from wsproxy import replay
from wsproxy.recording.messages import Assembler
from wsproxy.replay import whatif
from wsproxy.replay.codec import Agreement, Encoder, agreement, answer_to, cut
from wsproxy.replay.reading import read_scenario
from wsproxy.replay.script import Script
from wsproxy.wire.events import C2S, S2C, Dir, Frame, Response
from wsproxy.wire.frames import FrameStream

from .made import CLIENT, SERVER, spoken

OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"


def accepted(extensions: str | None) -> bytes:
    """A 101 response that agrees to these extensions."""
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: x"]
    lines += [f"Sec-WebSocket-Extensions: {extensions}"] if extensions else []
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


AGREEMENTS = [
    None,
    "permessage-deflate",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9",
    "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
    "permessage-deflate; server_max_window_bits=8; client_max_window_bits=8",
]
agreements = st.sampled_from(AGREEMENTS)
payloads = st.one_of(
    st.binary(max_size=200), st.text(max_size=60).map(str.encode), st.integers(0, 70_000).map(lambda n: b"ab" * n)
)
messages = st.lists(st.tuples(st.sampled_from([1, 2]), payloads, st.integers(1, 4), st.booleans()), max_size=6)
Said = list[tuple[int, bytes, int, bool]]


def encoded(said: Said, extensions: str | None, dir: Dir) -> list[bytes]:
    """Frames of these messages under an agreement, made by the library's own encoder from plain ones."""
    import zlib

    agreed = agreement(accepted(extensions))
    side = agreed.of(dir) if agreed else None
    deflater = None
    out = []
    for opcode, data, parts, compress in said:
        compress = compress and side is not None and side.bits > 8
        if compress and side is not None:
            if deflater is None or not side.takeover:
                deflater = zlib.compressobj(wbits=-side.bits)
            data = (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
        pieces = cut(data, (1,) * parts)
        for n, piece in enumerate(pieces):
            mask = b"mask" if dir == C2S else None
            first, last = n == 0, n == len(pieces) - 1
            out.append(frame(piece, opcode if first else 0, fin=last, rsv=4 if first and compress else 0, mask=mask))
    return out


def script_of(said: Said, extensions: str | None, dir: Dir) -> Script:
    """The script of a recorded conversation in which one side says this."""
    words = [(CLIENT, upgrade("/stream/s1", OFFER)), (SERVER, accepted(extensions))]
    words += [(dir, raw) for raw in encoded(said, extensions, dir)]
    with tempfile.TemporaryDirectory() as folder:
        (script,) = read_scenario(spoken(Path(folder) / "r.msgpack", words)).scripts
    return script


def sent(script: Script, recorded: str | None, live: str | None, dir: Dir) -> list[bytes]:
    """The frames as they go out under another agreement."""
    encoder = Encoder(dir, agreement(accepted(recorded)), agreement(accepted(live)), rewritten=dir in script.rewritten)
    return [encoder.frame(step, step.act) for step in script.steps_of(dir) if isinstance(step.act, Frame)]


def read(wire: bytes, extensions: str | None, dir: Dir) -> list[tuple[int, bytes, int]]:
    """What a receiver reads: (opcode, data, frames)."""
    assembler = Assembler()
    assembler.feed(0, Response(1, S2C, 0, 1, 101, "", accepted(extensions)))
    events = FrameStream(1, dir).feed(wire, 0) if wire else []
    found = list(itertools.chain.from_iterable(assembler.feed(n, event) for n, event in enumerate(events)))
    assert [message.error for message in found] == [None] * len(found)
    return [(message.opcode, message.data, message.frames) for message in found]


@settings(deadline=None)
@given(messages, agreements, agreements, st.sampled_from([C2S, S2C]))
def test_any_messages_survive_any_agreement(said: Said, recorded: str | None, live: str | None, dir: Dir) -> None:
    script = script_of(said, recorded, dir)
    got = read(b"".join(sent(script, recorded, live, dir)), live, dir)
    assert got == [(opcode, data, parts) for opcode, data, parts, _ in said]


@settings(deadline=None)
@given(messages, agreements)
def test_under_the_same_agreement_a_server_sends_the_recorded_bytes(said: Said, agreed: str | None) -> None:
    assert sent(script_of(said, agreed, S2C), agreed, agreed, S2C) == encoded(said, agreed, S2C)


@settings(deadline=None)
@given(messages.filter(bool), agreements, agreements, st.data())
def test_after_an_edit_the_rest_is_what_it_was(
    said: Said, recorded: str | None, live: str | None, data: st.DataObject
) -> None:
    place = data.draw(st.integers(1, len(said)))
    script = script_of(said, recorded, S2C)
    whatif.apply(script, S2C, (replay.duplicate(str(place)),), [])
    got = [(opcode, payload) for opcode, payload, _ in read(b"".join(sent(script, recorded, live, S2C)), live, S2C)]
    plain = [(opcode, payload) for opcode, payload, _, _ in said]
    assert got == [*plain[:place], *plain[place - 1 :]]


def test_a_client_masks_with_fresh_keys() -> None:
    script = script_of([(1, b"hello", 1, False)] * 2, None, C2S)
    (one, two), (three, _) = sent(script, None, None, C2S), sent(script, None, None, C2S)
    assert len({raw[2:6] for raw in (one, two, three)}) == 3


@given(st.binary(max_size=300), st.lists(st.integers(0, 400), min_size=1, max_size=6))
def test_cut_keeps_the_data_and_the_count(data: bytes, sizes: list[int]) -> None:
    parts = cut(data, tuple(sizes))
    assert b"".join(parts) == data
    assert len(parts) == len(sizes)
    if sum(sizes) == len(data):
        assert [len(part) for part in parts] == sizes


@pytest.mark.parametrize(
    ("offered", "recorded_offer", "recorded_answer", "answer"),
    [
        ("permessage-deflate", "permessage-deflate", "permessage-deflate", "permessage-deflate"),
        ("permessage-deflate", "permessage-deflate", None, None),
        (None, "permessage-deflate", "permessage-deflate", None),
        # The recorded answer, where it is legal for this offer ...
        (
            "permessage-deflate; client_max_window_bits; server_max_window_bits=12",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
        ),
        # ... and the least that the offer asks for, where it is not.
        (
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=12",
            "permessage-deflate",
        ),
        (
            "permessage-deflate; server_max_window_bits=10",
            "permessage-deflate",
            "permessage-deflate",
            "permessage-deflate; server_max_window_bits=10",
        ),
        (
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate",
            "permessage-deflate",
            "permessage-deflate; server_no_context_takeover",
        ),
        ("x-other", "x-foo", "x-foo", None),
        ("x-foo", "x-foo", "x-foo; a=1", "x-foo; a=1"),
    ],
)
def test_the_answer_to_an_offer_is_legal(
    offered: str | None, recorded_offer: str | None, recorded_answer: str | None, answer: str | None
) -> None:
    def head(extensions: str | None) -> bytes:
        return upgrade("/", *([f"Sec-WebSocket-Extensions: {extensions}"] if extensions else []))

    assert answer_to(head(offered), head(recorded_offer), accepted(recorded_answer)) == answer


def test_agreements_are_read() -> None:
    assert agreement(accepted(None)) is None
    agreed = agreement(accepted(AGREEMENTS[4]))
    assert isinstance(agreed, Agreement)
    assert (agreed.client.bits, agreed.server.bits) == (12, 12)
    assert agreed.client.takeover and agreed.server.takeover
