"""WebSocket frames, right and wrong: each passes unharmed and is recorded exactly.

Strategy: most of it is one conversation per test: open, each side sends, each side reads exactly that, both finish.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from wsproxy.wire.events import Frame, Part

from .raw import BINARY, CLOSE, MASK, PING, PONG, TEXT, Peer, close_frame, frame, upgrade
from .relay_process import RelayProcess, assert_passed

CONT = 0


def finish_both(client: Peer, server: Peer) -> None:
    client.finish()
    server.read_to_fin()
    server.finish()
    client.read_to_fin()


def exchange(relay: RelayProcess, from_client: bytes, from_server: bytes) -> list[Frame]:
    """One WebSocket on which each side sends some bytes and both end: it must pass. Returns the recorded frames."""
    client, server = relay.open_websocket("/stream/s")
    with client.sending(from_client), server.sending(from_server):
        server.read(len(from_client))
        client.read(len(from_server))
    finish_both(client, server)
    relay.stop()
    rec = relay.recording("s")
    assert_passed(rec, client, server)
    return list(rec.frames())


def test_every_message_type_passes(relay: RelayProcess) -> None:
    sizes = [0, 1, 125, 126, 127, 65535, 65536, 200_000]
    up = b"".join(frame(random.Random(n).randbytes(n), op, mask=MASK) for n in sizes for op in (TEXT, BINARY))
    down = b"".join(frame(random.Random(n).randbytes(n), op) for n in sizes for op in (TEXT, BINARY))
    pings = b"".join(frame(b"are you there", op, mask=MASK) for op in (PING, PONG))
    frames = exchange(relay, up + pings, down + pings)
    assert len(frames) == 2 * (2 * len(sizes) + 2)
    assert all(len(one.payload) == one.length for one in frames)


def test_single_byte_segments_pass_handshake_and_frames(relay: RelayProcess) -> None:
    client, server = relay.connect()
    client.send_bytewise(upgrade("/stream/slow"), to=server)
    server.send_bytewise(b"HTTP/1.1 101 Y\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", to=client)
    for payload in (b"", b"hello", b"x" * 130):
        client.send_bytewise(frame(payload, mask=MASK), to=server)
        server.send_bytewise(frame(payload), to=client)
    client.send_bytewise(frame(b"wide", form=64, mask=MASK), to=server)
    finish_both(client, server)
    relay.stop()
    rec = relay.recording("slow")
    assert_passed(rec, client, server)
    assert sorted(one.payload for one in rec.frames()) == sorted([b"", b"hello", b"x" * 130] * 2 + [b"wide"])


def test_message_of_64_mib_passes_each_way(relay: RelayProcess) -> None:
    before = relay.rss()
    payload = random.Random(64).randbytes(1 << 20) * 64
    client, server = relay.open_websocket("/stream/big")
    for sender, receiver, mask in ((client, server, MASK), (server, client, None)):
        whole = frame(payload, BINARY, mask=mask)
        with sender.sending(whole):
            receiver.read(len(whole))
    assert relay.rss() - before < 16 << 20
    finish_both(client, server)
    relay.stop()
    rec = relay.recording("big")
    assert_passed(rec, client, server)
    assert [one.payload == payload for one in rec.frames()] == [True, True]


def test_ten_thousand_fragments_with_pings_between_them_pass(relay: RelayProcess) -> None:
    def fragmented(mask: bytes | None) -> bytes:
        parts = [frame(b"a", TEXT, fin=False, mask=mask)]
        for n in range(10_000):
            parts.append(frame(b"b", CONT, fin=False, mask=mask))
            if n % 100 == 0:
                parts.append(frame(b"%d" % n, PING, mask=mask))
        return b"".join(parts) + frame(b"c", CONT, mask=mask)

    client, server = relay.open_websocket("/stream/fragments")
    up, down = fragmented(MASK), fragmented(None)
    with client.sending(up), server.sending(down):
        server.read(len(up))
        client.read(len(down))
    finish_both(client, server)
    relay.stop()
    rec = relay.recording("fragments")
    assert_passed(rec, client, server)
    texts = [message for message in rec.messages() if message.opcode == TEXT]
    assert [message.data for message in texts] == [b"a" + b"b" * 10_000 + b"c"] * 2


def test_reserved_bits_and_opcodes_pass(relay: RelayProcess) -> None:
    every = b"".join(
        frame(b"odd", opcode, rsv=rsv, fin=fin) for opcode in range(16) for rsv in range(8) for fin in (0, 1)
    )
    frames = exchange(relay, every, every)
    assert len(frames) == 2 * 256


def test_wrong_masking_passes(relay: RelayProcess) -> None:
    frames = exchange(relay, frame(b"bare client") + frame(b"again"), frame(b"masked server", mask=MASK))
    assert {(one.dir, one.mask) for one in frames} == {("c2s", None), ("s2c", MASK)}


def test_length_in_more_bits_than_needed_passes(relay: RelayProcess) -> None:
    wide = [
        frame(b"x" * size, form=form, mask=MASK) for size, form in ((0, 16), (5, 16), (5, 64), (126, 64), (9000, 64))
    ]
    frames = exchange(relay, b"".join(wide), b"".join(wide))
    assert [one.form for one in frames if one.dir == "c2s"] == [16, 16, 64, 64, 64]


def test_close_codes_and_reasons_pass(relay: RelayProcess) -> None:
    cases = [(1000, ""), (1001, "going away"), (1011, "chunk 7 failed: ü"), (4999, "x" * 123), (0, ""), (1005, "")]
    lines = {}
    for code, reason in cases:
        client, server = lines[code, reason] = relay.open_websocket(f"/stream/close-{code}")
        client.send(close_frame(code, reason, mask=MASK))
        server.read(len(client.sent) - len(server.received))
        server.send(close_frame(code, reason))
        server.close()
        client.read_to_fin()
        client.close()
    relay.stop()
    for (code, reason), (client, server) in lines.items():
        rec = relay.recording(f"close-{code}")
        assert_passed(rec, client, server)
        assert [one.payload for one in rec.frames()] == [code.to_bytes(2, "big") + reason.encode()] * 2


def test_bytes_after_a_close_frame_pass(relay: RelayProcess) -> None:
    after = frame(b"one more thing") + b"\x88\x01"  # and a close frame that breaks off
    frames = exchange(relay, close_frame(1000) + after, frame(b"\x03", CLOSE) + after)
    assert len(frames) == 6


def test_announcing_an_exabyte_costs_no_memory(relay: RelayProcess) -> None:
    before = relay.rss()
    huge = frame(b"the first bytes of it", BINARY, length=1 << 63)
    client, server = relay.open_websocket("/stream/s")
    client.send(huge)
    server.read(len(huge))
    server.send(frame(b"", BINARY, length=(1 << 64) - 1))
    client.read(10)
    for _ in range(3):
        client.send(b"more of it" * 100)
        server.read(1000)
    assert relay.rss() - before < 4 << 20
    finish_both(client, server)
    relay.stop()
    rec = relay.recording("s")
    assert_passed(rec, client, server)
    assert [type(event) for event in rec.events() if isinstance(event, Frame | Part)].count(Part) == 3


def test_random_bytes_after_the_handshake_pass(relay: RelayProcess) -> None:
    noise = random.Random(7).randbytes(300_000)
    exchange(relay, noise, noise[::-1])


def test_frames_sent_before_the_answer_pass(relay: RelayProcess) -> None:
    client, server = relay.connect()
    client.send(upgrade("/stream/early") + frame(b"early", mask=MASK) + frame(b"bird", mask=MASK))
    server.read(len(client.sent))
    server.send(b"HTTP/1.1 101 Y\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n" + frame(b"hello"))
    client.read(len(server.sent))
    finish_both(client, server)
    relay.stop()
    rec = relay.recording("early")
    assert_passed(rec, client, server)
    assert [one.payload for one in rec.frames()] == [b"early", b"bird", b"hello"]


def test_half_a_frame_header_sent_before_the_answer_passes(relay: RelayProcess) -> None:
    client, server = relay.connect()
    second = frame(b"second", mask=MASK)
    client.send(upgrade("/stream/early") + frame(b"first", mask=MASK) + second[:1])
    server.read(len(client.sent))
    server.send(b"HTTP/1.1 101 Y\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
    client.read(len(server.sent))
    client.send(second[1:])
    server.read(len(second) - 1)
    finish_both(client, server)
    relay.stop()
    rec = relay.recording("early")
    assert_passed(rec, client, server)
    assert [one.payload for one in rec.frames()] == [b"first", b"second"]


def test_connection_that_ends_inside_a_frame_is_recorded_to_its_last_byte(relay: RelayProcess) -> None:
    lines = {}
    for cut in (1, 3, 8):
        client, server = lines[cut] = relay.open_websocket(f"/stream/torn-{cut}")
        client.send(frame(b"whole", mask=MASK), frame(b"never whole", mask=MASK)[:cut])
        server.read(len(frame(b"whole", mask=MASK)) + cut)
        finish_both(client, server)
    relay.stop()
    for cut, (client, server) in lines.items():
        assert_passed(relay.recording(f"torn-{cut}"), client, server)


def test_live_view_changes_nothing(start_relay: Callable[..., RelayProcess]) -> None:
    """`--live` feeds the tap's events elsewhere too, and so takes another path through the recorder."""
    relay = start_relay("--live")
    frames = exchange(relay, frame(b"up", mask=MASK) * 300 + b"\x81", frame(b"down") * 300)
    assert len(frames) == 600
