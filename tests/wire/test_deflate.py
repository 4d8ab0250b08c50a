"""permessage-deflate, with the encoder of `websockets` on the other side."""

from __future__ import annotations

import os
import random
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from wsproxy.wire.deflate import InflateError, Inflater, negotiated
from wsproxy.wire.events import C2S, S2C

few = settings(max_examples=40, deadline=None)
TEXTS = st.lists(
    st.one_of(st.binary(max_size=200), st.sampled_from([b"tick " * 500, b"", os.urandom(3000)])), max_size=6
)


def encoder(*, takeover: bool = True, bits: int = 15) -> PerMessageDeflate:
    return PerMessageDeflate(False, not takeover, 15, bits)


def deflated(extension: PerMessageDeflate, data: bytes, *, fragments: int = 1) -> bytes:
    """The joined payloads of one message, in so many fragments."""
    size = len(data) // fragments + 1
    out = b""
    for number in range(fragments):
        opcode = Opcode.CONT if number else Opcode.BINARY
        part = data[number * size : (number + 1) * size]
        out += bytes(extension.encode(Frame(opcode, part, fin=number == fragments - 1)).data)
    return out


@pytest.mark.parametrize("bits", range(9, 16))
@pytest.mark.parametrize("takeover", [True, False])
@few
@given(messages=TEXTS, fragments=st.integers(1, 3))
def test_what_websockets_deflates_is_inflated(takeover: bool, bits: int, messages: list[bytes], fragments: int) -> None:
    extension = encoder(takeover=takeover, bits=bits)
    inflater = Inflater(takeover=takeover, limit=1 << 20)
    for data in messages:
        assert inflater.message(deflated(extension, data, fragments=fragments)) == (data, False)


def test_a_window_of_eight_bits_is_inflated_where_zlib_writes_one() -> None:
    try:
        compressor = zlib.compressobj(wbits=-8)
    except ValueError:
        pytest.skip("this zlib writes no window of 8 bits")
    data = b"abcdefgh" * 200
    payload = (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
    assert Inflater(takeover=True, limit=1 << 20).message(payload) == (data, False)


@pytest.mark.parametrize("takeover", [True, False])
def test_a_deflate_bomb_costs_its_limit_once(takeover: bool) -> None:
    bomb = deflated(encoder(), bytes(64 << 20))
    inflater = Inflater(takeover=takeover, limit=100_000)
    tracemalloc.start()
    try:
        data, cut = inflater.message(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (data, cut) == (bytes(100_000), True)
    assert peak < 1_000_000


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 100_000])
def test_the_limit_is_exact(size: int) -> None:
    payload = deflated(encoder(), bytes(size))
    assert Inflater(takeover=True, limit=size).message(payload) == (bytes(size), False)
    if size:
        assert Inflater(takeover=True, limit=size - 1).message(payload) == (bytes(size - 1), True)


def test_after_a_lost_message_a_kept_window_has_no_reading_and_a_fresh_one_has() -> None:
    for takeover in (True, False):
        extension = encoder(takeover=takeover)
        deflated(extension, b"lost lost lost")
        inflater = Inflater(takeover=takeover, limit=1 << 20)
        inflater.lose("it fell into a gap")
        payload = deflated(extension, b"lost lost found")
        if takeover:
            with pytest.raises(InflateError, match="it fell into a gap"):
                inflater.message(payload)
        else:
            assert inflater.message(payload) == (b"lost lost found", False)


def test_the_examples_of_rfc_7692_are_inflated() -> None:
    hello = [bytes.fromhex("f248cdc9c90700"), bytes.fromhex("f200110000")]
    inflater = Inflater(takeover=True, limit=100)
    assert [inflater.message(payload)[0] for payload in hello] == [b"Hello", b"Hello"]
    for payload in ("000500faff48656c6c6f00", "f348cdc9c9070000", "f248050000 00ffff cac9c90700"):
        assert Inflater(takeover=True, limit=100).message(bytes.fromhex(payload)) == (b"Hello", False)


@few
@given(st.lists(st.binary(max_size=100), min_size=1, max_size=4), st.booleans(), st.booleans())
def test_final_blocks_in_a_message_are_read_and_the_next_message_too(
    parts: list[bytes], padded: bool, takeover: bool
) -> None:
    """RFC 7692, 7.2.3.4; some senders leave out the empty block that should follow."""
    payload = b"".join(_final(part) for part in parts) + (b"\x00" if padded else b"")
    inflater = Inflater(takeover=takeover, limit=1 << 20)
    for _ in range(3):
        assert inflater.message(payload) == (b"".join(parts), False)


def _final(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


def _stored(size: int) -> bytes:
    """A final, stored block of so many bytes on the wire."""
    length = size - 5
    return b"\x01" + struct.pack("<HH", length, length ^ 0xFFFF) + b"a" * length


@pytest.mark.parametrize(
    "size",
    [
        65_535,
        65_537 - 5,
        65_536,
    ],
)
def test_a_final_block_of_any_size_leaves_the_next_message_readable(size: int) -> None:
    inflater = Inflater(takeover=True, limit=1 << 20)
    assert inflater.message(_stored(size)) == (b"a" * (size - 5), False)
    assert inflater.message(bytes.fromhex("f248cdc9c90700")) == (b"Hello", False)


def test_an_incompressible_message_of_64_mib_costs_its_output_twice_at_most() -> None:
    data = random.Random(1).randbytes(64 << 20)
    compressor = zlib.compressobj(level=0, wbits=-15)
    payload = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)[:-4]
    inflater = Inflater(takeover=True, limit=128 << 20)
    tracemalloc.start()
    try:
        out, cut = inflater.message(payload)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert out == data and not cut
    assert peak < 140 << 20


@few
@given(st.lists(st.binary(max_size=300), max_size=5), st.booleans())
def test_garbage_is_an_inflate_error_or_data_and_nothing_else(payloads: list[bytes], takeover: bool) -> None:
    inflater = Inflater(takeover=takeover, limit=10_000)
    for payload in payloads:
        try:
            data, _ = inflater.message(payload)
        except InflateError:
            continue
        assert len(data) <= 10_000


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        (["x-webkit-deflate-frame"], None),
        (["permessage-deflate"], (True, True)),
        (["permessage-deflate; server_no_context_takeover"], (True, False)),
        (["permessage-deflate;client_no_context_takeover;server_max_window_bits=10"], (False, True)),
        (["foo, Permessage-Deflate; CLIENT_no_context_takeover ; server_no_context_takeover"], (False, False)),
        (["foo", 'permessage-deflate; client_max_window_bits="12"'], (True, True)),
        ([";;,=,"], None),
    ],
)
def test_what_was_negotiated_is_read_from_the_answer(values: list[str], expected: tuple[bool, bool] | None) -> None:
    found = negotiated(values)
    assert (found and (found.takeover(C2S), found.takeover(S2C))) == expected
